"""What SCORE sends fits through a broker as it comes out of the box."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.codecs import decode_partial
from schemas.pane_layout import PaneLayout
from schemas.records import Blame, EventAnomaly, PaneBlock
from stream_app.stages.score.panes import Closing, Pane
from stream_app.stages.score.partials import partials
from stream_app.stages.score.top import Tops
from tests.stages.streams import config


def strange(offset: int, name: str) -> EventAnomaly:
    """A flagged event with names and values as long as they get."""
    long = chr(0x1F600) * 200
    return EventAnomaly(
        id="x",
        stream="s",
        topic="e",
        partition=0,
        offset=offset,
        event_time_ms=0,
        slice=name,
        model_id="m" * 16,
        log_prob=-1.0,
        p_value=0.001,
        pooled=False,
        threshold=0.01,
        blame=[Blame(feature=long, weight=0.3, detail=long)] * 3,
    )


NO_PIT = np.zeros((0, 20), dtype=np.int64)
DEFAULT_MAX_BYTES = 1_048_588
"""Apache Kafka's ``message.max.bytes``."""


@pytest.mark.parametrize("d", [1, 11, 50, 300])
def test_a_pane_of_many_slices_and_features_fits(d: int) -> None:
    layout, slices = PaneLayout(d), 2_500
    rows = np.random.default_rng(0).integers(-(2**62), 2**62, (slices, layout.width))
    names = {f"a station with quite a long name, number {i}": i for i in range(slices)}
    pane = Pane("m" * 16, NO_PIT, names, rows)
    empty = Pane("m" * 16, NO_PIT)
    closing = Closing(0, 1_000, [(0, [pane, empty])], 0)
    messages = partials(config(), layout, 0, [closing], np.array([9]), {}, {})
    assert max(len(message.value or b"") for message in messages) < 0.9 * DEFAULT_MAX_BYTES
    assert len(messages) < 4 + slices * layout.width * 8 / 200_000


@pytest.mark.parametrize("d", [1, 2, 11])
def test_names_as_long_as_events_can_make_them_fit(d: int) -> None:
    layout, slices = PaneLayout(d), 2_500
    rows = np.random.default_rng(0).integers(-(2**62), 2**62, (slices, layout.width))
    names = {f"{number:05d}{chr(0x1F600) * 195}": number for number in range(slices)}
    pane = Pane("m" * 16, NO_PIT, names, rows)
    tops = Tops()
    tops.take("station", 2, [(0, name, strange(number, name)) for number, name in enumerate(names)])
    closings = [Closing(0, 1_000, [(0, [pane, Pane("m" * 16, NO_PIT)])], 0)]
    messages = partials(config(), layout, 0, closings, np.array([9]), {}, tops.panes)
    assert max(len(message.value or b"") for message in messages) < 0.9 * DEFAULT_MAX_BYTES
    blocks = [decode_partial(message.value, dict(message.headers)) for message in messages]
    sent = [name for block in blocks if isinstance(block, PaneBlock) for name in block.slices]
    assert sorted(sent) == sorted(names), "each once"
    for block in blocks:
        if isinstance(block, PaneBlock) and block.top:
            assert {event.slice for event in block.top} <= set(block.slices)
            break
    else:
        pytest.fail("no block has an event")
