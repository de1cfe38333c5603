"""What passes as evidence raises nothing in JUDGE, and comes out as messages that can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.codecs import decode_evidence, encode_partials
from schemas.evidence import Evidence, EvidenceClosed, EvidenceColumns, GroupSums, ModelPane, OtherRow, PaneEvidence
from stream_app.stages.detection.detectors.simulated import CHANGES, World
from stream_app.stages.judge.checking import Columns, EvidenceChecker
from stream_app.stages.outputs import Outgoing
from tests.stages.judge.judging import Judging, evidence, interleaved, spread

WORLD = World(d=2, k=0, slices=4, seed=5)
CONFIG = spread(WORLD, 1, false_incidents_per_month=20.0)
SENT = interleaved(evidence(WORLD, CONFIG, [(5, {}), (30, {2: CHANGES["location"]})], seed=3), 0)

Changed = Callable[[EvidenceColumns], EvidenceColumns]


def all_of(**values: Any) -> Changed:
    """Columns in which some have one value everywhere."""
    return lambda of: msgspec.structs.replace(
        of, **{name: np.full_like(getattr(of, name), value) for name, value in values.items()}
    )


def figure(place: int, value: float) -> Changed:
    """Columns with another figure."""

    def changed(of: EvidenceColumns) -> EvidenceColumns:
        figures = of.figures.copy()
        figures[:, :, place] = value
        return msgspec.structs.replace(of, figures=figures)

    return changed


def bets(number: int) -> Changed:
    """Columns with the odds of so many bets."""
    return lambda of: msgspec.structs.replace(of, odds=of.odds[:, :, :number])


def record_of(message: Outgoing) -> Evidence:
    """A message, decoded."""
    return decode_evidence(message.value, dict(message.headers))


def sent(changed: Changed) -> list[Outgoing]:
    """What WATCH sends of a change, with other columns."""
    out = []
    for message in SENT:
        record = record_of(message)
        if isinstance(record, PaneEvidence):
            columns = changed(EvidenceColumns.decode(record.columns, len(record.slices))).encode()
            record = msgspec.structs.replace(record, columns=columns)
        (wire,) = encode_partials([record])
        out.append(Outgoing("evidence", 0, None, wire.value, wire.headers))
    return out


def marker(**changes: Any) -> Outgoing:
    """The first marker, with other values."""
    (first,) = [of for message in SENT[:1] if isinstance(of := record_of(message), EvidenceClosed)]
    (wire,) = encode_partials([msgspec.structs.replace(first, **changes)])
    return Outgoing("evidence", 0, None, wire.value, wire.headers)


def row(seen: int, model: str = "m") -> list[OtherRow]:
    """A row of ``__other__`` of so many events."""
    numbers = np.zeros(WORLD.layout.width, dtype="<i8")
    numbers[0] = seen
    return [OtherRow(slicing="slice", model_id=model, row=numbers.tobytes())]


def group(model: str) -> list[GroupSums]:
    """The sums of ordinary slices under a model."""
    (first,) = [of for message in SENT[:1] if isinstance(of := record_of(message), EvidenceClosed)]
    return [msgspec.structs.replace(first.groups[0], model_id=model)]


def totals(model: str, **changes: Any) -> ModelPane:
    """Ten events under a model, of which it could not score one."""
    of = ModelPane(model_id=model, seen=10, scored=9, unscorable=1, alarms=9, log_prob_sum=-20.0)
    return msgspec.structs.replace(of, **changes)


def test_messages_together_are_read_as_one_by_one() -> None:
    """Sound ones beside those of every fault: the same columns, the same sentence of each."""
    faults = [all_of(statistic=-1.0), all_of(weight=np.nan), figure(0, 1e308), bets(0), bets(1), short]
    sound = [record_of(message) for message in SENT]
    bad = [of for changed in faults for of in map(record_of, sent(changed)) if isinstance(of, PaneEvidence)]
    mixed = [of for pair in zip(sound, bad, strict=False) for of in pair] + sound + bad
    checker = EvidenceChecker(CONFIG, WORLD.layout)
    together = checker.read(mixed)
    assert [read for of in mixed for read in map(plain, checker.read([of]), [of])] == list(map(plain, together, mixed))
    assert {type(read) for read in together} == {tuple, str}
    assert not any(isinstance(read, str) for read in checker.read(sound))


@pytest.mark.parametrize("name", EvidenceColumns.__struct_fields__)
def test_evidence_without_a_column_is_refused_beside_what_is_sound(name: str) -> None:
    sound = [of for message in SENT if isinstance(of := record_of(message), PaneEvidence)]
    without = {key: column for key, column in sound[0].columns.items() if key != name}
    checker = EvidenceChecker(CONFIG, WORLD.layout)
    read, *others = checker.read([msgspec.structs.replace(sound[0], columns=without), *sound])
    assert isinstance(read, str)
    assert read
    assert not any(isinstance(other, str) for other in others)


def short(of: EvidenceColumns) -> EvidenceColumns:
    """A column that has lost a number."""
    return msgspec.structs.replace(of, weight=of.weight.ravel()[1:])


def plain(read: Columns | str, message: Evidence) -> Any:
    """A sentence, or the columns of a message as bytes."""
    if isinstance(read, str) or isinstance(message, EvidenceClosed):
        return read if isinstance(read, str) else ""
    columns, rows = read[0], slice(read[1], read[1] + len(message.slices))
    return {name: getattr(columns, name)[rows].tobytes() for name in EvidenceColumns.__struct_fields__}


@pytest.mark.parametrize("changes", [{"scored": [6, 6]}, {"alarms": []}, {"scored": [2**41]}, {"alarms": [7]}])
def test_evidence_is_refused_whose_counts_do_not_fit_its_slices(changes: dict[str, list[int]]) -> None:
    of_one = next(of for message in SENT if isinstance(of := record_of(message), PaneEvidence) and len(of.slices) == 1)
    (wire,) = encode_partials([msgspec.structs.replace(of_one, **{"scored": [6], "alarms": [6]} | changes)])
    judging = Judging(CONFIG, {"m": WORLD.fitted[1]}).feed([Outgoing("evidence", 0, None, wire.value, wire.headers)])
    assert len(judging.out.refused) == 1


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, False),
        ({"other": row(5)}, False),
        ({"events": 2**63 - 1}, True),
        ({"slices": {"slice": 2**63 - 1}}, True),
        ({"slices": {}}, False),
        ({"other": row(2**62)}, True),
        ({"other": row(-1)}, True),
        ({"other": row(5, "")}, True),
        ({"groups": group("m")}, False),
        ({"groups": group("")}, True),
        ({"models": [totals("m")]}, False),
        ({"models": [totals("m", log_prob_sum=-9.0 * 32_768)]}, False),
        ({"models": [totals("m", log_prob_sum=-1e9)]}, True),
        ({"models": [totals("")]}, True),
        ({"models": [totals("m"), totals("m")]}, True),
        ({"models": [totals("m", alarms=10)]}, True),
        ({"models": [totals("m", unscorable=2)]}, True),
        ({"models": [totals("m", seen=2**62, scored=2**62 - 1)]}, True),
    ],
)
def test_a_marker_is_refused_that_counts_without_end_or_names_no_model(changes: dict[str, Any], refused: bool) -> None:
    judging = Judging(CONFIG, {"m": WORLD.fitted[1]}).feed([marker(**changes)], restart=1)
    assert bool(judging.out.refused) == refused
    assert bool(judging.state.final_ms) != refused


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        (lambda of: of, False),
        (all_of(statistic=1.7e308), False),
        (all_of(since_ms=2**62), False),
        (figure(1, np.nan), False),
        (figure(2, -1e150), False),
        (figure(3, 1e150), False),
        (bets(0), True),
        (bets(1), True),
        (figure(0, np.inf), True),
        (figure(0, 1e308), True),
        (figure(0, -5.0), True),
        (figure(1, 1e308), True),
        (figure(3, 1e200), True),
        (figure(3, np.inf), True),
        (all_of(weight=1e308), True),
        (all_of(weight=-1e308), True),
        (all_of(events=2**62), True),
    ],
)
def test_evidence_is_refused_that_would_not_stay_a_number(changed: Changed, refused: bool) -> None:
    judging = Judging(CONFIG, {"m": WORLD.fitted[1]}).feed(sent(changed))
    assert bool(judging.out.refused) == refused
    told = [incident for incident in judging.incidents if incident.rules != ["model"]]  # each record is read back
    assert bool(told) != refused
