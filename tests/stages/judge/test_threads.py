"""What holds of incidents whatever comes, is said, and whenever the process is started again."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.incidents import Incident, SilencedIncident
from stream_app.stages.judge.candidates import Candidate
from stream_app.stages.judge.facts import Allowed
from stream_app.stages.judge.incidents import Incidents
from stream_app.stages.snapshot import pack, unpack
from tests.stages.judge.making import HOUR, MISSING, START, VOLUME, Run, candidate, cause, facts, fault

Step = tuple[str, Any]
SLICES = ["a", "b", "c", "d"]
CAUSES = [cause(), cause("location", "PRES"), MISSING, VOLUME]


@st.composite
def _candidates(draw: st.DrawFn) -> list[tuple[Candidate, Allowed]]:
    found: list[tuple[Candidate, Allowed]] = []
    for rule in ("drift", "fault"):
        for name in draw(st.sets(st.sampled_from(SLICES))):
            ended = draw(st.booleans())
            made = (fault if rule == "fault" else candidate)(
                name,
                *draw(st.lists(st.sampled_from(CAUSES), min_size=1, max_size=2, unique=True)),
                statistic=draw(st.sampled_from([1e4, 1e5, 1e6])),
                over=ended,
                remaining=0.0 if ended else draw(st.sampled_from([0.01, 0.5, 1.0])),
                model_id=draw(st.sampled_from(["m1", "m2"])),
            )
            found.append((made, draw(st.sampled_from(("open", "join", "")))))
    return found


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pane"), _candidates()),
        st.tuples(st.just("wait"), st.integers(1, 24 * 9)),
        st.tuples(st.sampled_from(["accept", "ack", "silence", "unsilence"]), st.sampled_from(SLICES)),
    ),
    min_size=3,
    max_size=20,
)


class _Playing:
    """Plays steps; ``restoring`` takes the state through a snapshot after each, ``turned`` turns candidates round."""

    def __init__(self, restoring: bool = False, turned: bool = False) -> None:
        self.run, self._restoring, self._turned = Run(), restoring, turned

    def play(self, step: Step) -> list[Incident]:
        kind, what = step
        said = list[Incident]()
        if kind == "pane":
            said = self._pane(what[::-1] if self._turned else what)
        elif kind == "wait":
            self.run.now += what
            said = self._pane([])
        elif kind in ("accept", "ack"):
            open_ = [of.id for of in self.run.said if of.state in ("open", "update")]
            said = self.run.act(kind, open_[-1] if open_ else "none")
        elif kind == "silence":
            now = START + self.run.now * HOUR
            said = self.run.act(kind, id=f"of {what}", slices=[what], from_ms=now, to_ms=now + 50 * HOUR)
        else:
            said = self.run.act(kind, f"of {what}")
        if self._restoring:
            state = pack(self.run.incidents.to_state())
            self.run.incidents = Incidents(self.run.config)
            self.run.incidents.restore(unpack(state))
            assert pack(self.run.incidents.to_state()) == state
        return said

    def _pane(self, candidates: list[tuple[Candidate, Allowed]]) -> list[Incident]:
        said = self.run.incidents.judge(facts(self.run.now), candidates)
        self.run.now += 1
        self.run.said += said
        return said


@settings(max_examples=60, deadline=None)
@given(_STEPS)
def test_neither_the_order_of_candidates_nor_a_restart_changes_anything(steps: list[Step]) -> None:
    plain, restored, turned = _Playing(), _Playing(restoring=True), _Playing(turned=True)
    for step in steps:
        assert plain.play(step) == restored.play(step) == turned.play(step)


@settings(max_examples=60, deadline=None)
@given(_STEPS)
def test_threads_hold_together_whatever_happens(steps: list[Step]) -> None:
    playing, numbers, ended = _Playing(), dict[str, int](), set[str]()
    for step in steps:
        for message in playing.play(step):
            assert message.number == numbers.get(message.id, 0) + 1
            numbers[message.id] = message.number
            if message.id in ended:
                assert message.reason in ("again", "opened")
            (ended.add if message.state in ("resolve", "handover", "accepted") else ended.discard)(message.id)
            assert isinstance(message, SilencedIncident) == bool(message.silenced_by)
            assert message.summary.endswith(".")
        _what_speaks_is_in_one_open_thread(playing.run.incidents)


def _what_speaks_is_in_one_open_thread(incidents: Incidents) -> None:
    live = [
        (member["rule"], member["slicing"], member["slice"])
        for thread in incidents.to_state()["open"]
        for member in thread["members"]
        if not member["over"]
    ]
    assert len(set(live)) == len(live)
    assert set(live) <= incidents.members
