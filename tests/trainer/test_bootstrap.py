"""The request for a first model: until when, and which offsets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flowlib.table import DAY_MS
from stream_app.errors import ConfigError
from stream_app.trainer.bootstrap import bootstrap_request, bootstrap_until_ms
from tests.trainer.test_answering import config_in


@pytest.mark.parametrize(
    ("text", "zone", "until_ms"),
    [
        ("1970-01-02", "UTC", DAY_MS),
        ("1970-01-02T06:00:00", "UTC", DAY_MS + 6 * 3_600_000),
        ("1970-01-02T00:00:00+02:00", "Europe/Berlin", DAY_MS - 2 * 3_600_000),
        ("1970-01-02", "Europe/Berlin", DAY_MS - 3_600_000),
    ],
)
def test_a_date_is_read_in_the_zone_of_the_events(tmp_path: Path, text: str, zone: str, until_ms: int) -> None:
    config = config_in(tmp_path)
    event = msgspec.structs.replace(config.event, timezone=zone, time_format="epoch_s")
    assert bootstrap_until_ms(msgspec.structs.replace(config, event=event), text) == until_ms


@pytest.mark.parametrize("text", ["", "soon", "1700000000", "31.01.2026", "1969-12-31", "2026-13-01"])
def test_what_is_no_date_is_refused_with_one_that_is(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"--bootstrap-until: 1 fault[^:]*\n.*a date such as 2026-01-31"):
        bootstrap_until_ms(config_in(tmp_path), text)


def test_the_request_names_every_partition_up_to_its_end(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    request = bootstrap_request(config, {1: 7, 0: 3}, 0, DAY_MS)
    assert [(r.topic, r.partition, r.start, r.end, r.end_ms) for r in request.train] == [
        ("e", 0, 0, 3, DAY_MS),
        ("e", 1, 0, 7, DAY_MS),
    ]
    assert (request.reason, request.model_id, request.requested_pane_ms) == ("bootstrap", "", DAY_MS)


def test_its_id_is_that_of_what_it_asks_for(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    request = bootstrap_request(config, {0: 3, 1: 7}, 0, DAY_MS)
    assert bootstrap_request(config, {1: 7, 0: 3}, 0, DAY_MS) == request
    others = [
        bootstrap_request(config, {0: 3, 1: 8}, 0, DAY_MS),
        bootstrap_request(config, {0: 3, 1: 7}, 0, DAY_MS + 1),
    ]
    assert len({request.id, *(other.id for other in others)}) == 3
