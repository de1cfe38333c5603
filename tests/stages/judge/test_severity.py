"""How much an incident matters, and what kind it is of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.stages.judge.candidates import Candidate, Cause
from stream_app.stages.judge.severity import SEVERITIES, effect, severity
from tests.stages.judge.making import MISSING, NAN, STATIONS, VOLUME, Run, candidate, cause, fault

SILENCE = cause(
    "silence", direction="down", measure="events a pane", figures=(1.0, 0.0, 5.0, 2.0), says="no events", unit=""
)


def moved(size_sd: float, events: float = 5.0) -> Cause:
    return cause(figures=(events, events * (3.5 + 2 * size_sd), events * 3.5, 2.0))


@pytest.mark.parametrize(
    ("size_sd", "grave", "share", "expected"),
    [
        (0.2, False, 0.05, "info"),
        (0.2, False, 0.3, "info"),
        (0.2, False, 0.6, "warning"),
        (0.7, False, 0.05, "info"),
        (0.7, False, 0.3, "warning"),
        (0.7, False, 0.6, "warning"),
        (-1.5, False, 0.05, "warning"),
        (-1.5, False, 0.3, "critical"),
        (None, True, 0.05, "warning"),
        (None, True, 0.6, "critical"),
        (None, False, 0.6, "warning"),
        (None, False, 0.3, "info"),
    ],
)
def test_effect_and_share_make_severity(size_sd: float | None, grave: bool, share: float, expected: str) -> None:
    assert severity(effect(size_sd, grave), share) == expected


@given(st.floats(0, 5), st.floats(0, 5), st.floats(0, 1), st.floats(0, 1))
def test_more_is_never_less_grave(size: float, more: float, share: float, wider: float) -> None:
    before = severity(effect(size, False), share)
    after = severity(effect(size + more, False), max(share, wider))
    assert SEVERITIES.index(after) >= SEVERITIES.index(before)


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([candidate("Dongsi", moved(0.3))], ("drift", "info")),
        ([candidate("Dongsi", moved(2.0))], ("drift", "warning")),
        ([candidate(name, moved(2.0)) for name in STATIONS], ("drift", "critical")),
        ([candidate(name, moved(0.3)) for name in STATIONS], ("drift", "warning")),
        ([fault("Dongsi", MISSING)], ("fault", "warning")),
        ([fault("Dongsi", VOLUME)], ("fault", "info")),
        ([fault("Dongsi", SILENCE, events=0)], ("fault", "warning")),
        ([fault(name, SILENCE, events=0) for name in STATIONS[:6]], ("fault", "critical")),
        ([fault("Dongsi", VOLUME), candidate("Dongsi", moved(0.3))], ("drift", "info")),
        ([fault("Dongsi", MISSING), candidate("Dongsi", moved(0.3))], ("fault", "warning")),
    ],
)
def test_kind_and_severity_of_an_incident(candidates: list[Candidate], expected: tuple[str, str]) -> None:
    (opened,) = Run().pane(*candidates)
    assert (opened.kind, opened.severity) == expected


@pytest.mark.parametrize(("silent", "expected"), [(12, 1.0), (6, 0.5), (1, 1 / 12)])
def test_the_share_of_slices_that_fell_silent_is_of_what_they_had(silent: int, expected: float) -> None:
    silenced = [fault(name, SILENCE, events=0) for name in STATIONS[:silent]]
    (opened,) = Run().pane(*silenced, events=5 * (12 - silent))
    assert opened.share == pytest.approx(expected)


def test_two_rules_on_one_slice_are_no_larger_share() -> None:
    (opened,) = Run().pane(candidate("Dongsi"), fault("Dongsi"))
    assert (opened.share, opened.events, opened.slice_count, opened.member_count) == (pytest.approx(5 / 60), 5, 1, 2)


def test_what_is_said_of_all_and_of_its_slices_counts_once() -> None:
    together = candidate("__all__", cause(figures=(NAN,) * 4), events=60, statistic=2e6)
    (opened,) = Run().pane(together, *(candidate(name) for name in STATIONS))
    assert opened.share == 1.0


def test_severity_only_rises_until_the_end() -> None:
    """What is named first changes from pane to pane, and with it the size: the severity does not swing with it."""
    run = Run()
    run.pane(candidate("Dongsi", moved(0.3)))
    run.pane(*(candidate(name) for name in STATIONS))
    run.end(*STATIONS[1:])
    run.panes(24 * 30)
    run.end()
    assert [of.severity for of in run.said] == ["info", *["critical"] * (len(run.said) - 1)]
