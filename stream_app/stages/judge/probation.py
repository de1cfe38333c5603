"""Which model is in service, and whether it does what it promised at the gates.

From its first pane on, for ``trainer.probation``, three bets are laid against a model (:mod:`flowlib.anytime`): that it
is *noisy*, more than 1.25 % of its events being alarms, and more than under the model before it; that it is *silent*,
less than .8 %; that it cannot score more than twice as many events as the former. Each is wrong about a model that is
in order with probability 10⁻³ at most, however often somebody looks. One that is silent for good is noticed after 900
to 1,300 events, one with 4.9 % alarms after some 220, where alarms come independently; where those of the former came
in clumps, after as many times more as its clumps are large: where the stream has too few events for that within
``trainer.probation``, this question alone stays open until it has had them. A first model is not asked whether it is
silent: it scores the history that it was trained on first, and its gates have asked.

With ``trainer.canary_share`` a model begins on a share of the source partitions, and these bets are about what it does
there; once they have had events enough, and none was won, the others follow (``extend``).

When one is won the former model returns: a decision like that of a person, who may also pin a model, which is then left
in service whatever is found. There is no bet on the likelihood: what the world does moves it as much as a model does,
and no bound on it would be fair to a model that came because the world had changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.evidence import ModelPane
from schemas.incidents import Action, Incident
from schemas.records import ServiceChange
from stream_app.config import Config
from stream_app.stages.judge import serving
from stream_app.stages.judge.served import Question, Served
from stream_app.stages.judge.serving import BY, ModelIncident

SERVED_MAX = 20
"""Models whose week is remembered, the last that came into service."""
ROLLED_MAX = 1_000
"""Models that were rolled back and are remembered."""


@dataclass(slots=True)
class Said:
    """What is to be said: changes of service, and incidents about models."""

    changes: list[ServiceChange] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)


class _State(msgspec.Struct):
    served: list[Served] = msgspec.field(default_factory=list)
    rolled_back: list[str] = msgspec.field(default_factory=list)
    pinned: str = ""
    extended: list[str] = msgspec.field(default_factory=list)
    open: list[ModelIncident] = msgspec.field(default_factory=list)


class Probation:
    """The models of a stream since they are in service."""

    def __init__(self, config: Config) -> None:
        self._config, self._longest_ms = config, int(config.windows.spans[-1])
        self._probation_ms, self._tolerated = int(config.trainer.probation), config.event.tolerated
        self._state = _State()

    @property
    def service(self) -> str:
        """The model in service as far as panes and people have said: the pinned one, else the newest that came and was
        not rolled back; "" before the first."""
        return self._state.pinned or next((of.model_id for of in reversed(self._left())), "")

    def _left(self) -> list[Served]:
        return [of for of in self._state.served if of.model_id not in self._state.rolled_back]

    def take(self, start_ms: int, end_ms: int, models: Mapping[str, ModelPane], explained: bool = False) -> Said:
        """Take a pane in.

        Args:
            models: what came of its events under each model.
            explained: people know of a change already: of a first model, which nothing can replace, no more is said,
                and its bets begin anew.
        """
        said = Said()
        for model_id, pane in models.items():
            of = self._of(model_id, start_ms)
            of.take(pane, start_ms)
            if explained and not of.former:
                of.begin_anew()
        for of in self._state.served:
            if end_ms - of.since_ms > self._probation_ms:
                of.outlast_probation()
        current = next(iter(self._left()[::-1]), None)
        found = current.found() if current is not None else None
        if current is not None and found is not None:
            self._find(current, found, end_ms, said)
        elif current is not None and self._is_to_extend(current, end_ms):
            self._state.extended = [*self._state.extended, current.model_id][-ROLLED_MAX:]
            said.changes.append(serving.extension(self._config, current, end_ms))
        for one in [*self._state.open]:
            if end_ms - one.opened_ms > self._longest_ms:
                said.incidents.append(self._end(one, end_ms, ""))
        return said

    def _of(self, model_id: str, start_ms: int) -> Served:
        known = next((of for of in self._state.served if of.model_id == model_id), None)
        if known is None:
            former = next(iter(self._left()[::-1]), None)
            known = Served.after(model_id, start_ms, former, self._tolerated)
            self._state.served = [*self._state.served, known][-SERVED_MAX:]
        return known

    def _find(self, current: Served, question: Question, end_ms: int, said: Said) -> None:
        """A model does not do what it promised."""
        current.questions = []
        returns_to = "" if self._state.pinned else self._returns_to(current.model_id)
        why = serving.sentence(self._config, question, current)
        if returns_to:
            figures = serving.figures(question, current)
            change = serving.change(
                self._config, "rollback", current.model_id, returns_to, BY, end_ms, why, figures=figures
            )
            self._roll_back(current.model_id)
            said.changes.append(change)
        one = ModelIncident.of(self._config, current, question, why, returns_to, self._state.pinned, end_ms)
        self._state.open.append(one)
        said.incidents.append(serving.incident(self._config, one, end_ms, None))

    def _is_to_extend(self, current: Served, end_ms: int) -> bool:
        """Whether a model that has begun on a share of the source partitions has done well there for long enough."""
        is_canary = self._config.trainer.canary_share > 0 and current.former and not self._state.pinned
        if not is_canary or current.model_id in self._state.extended:
            return False
        return current.is_tried or end_ms - current.since_ms > self._probation_ms

    def _returns_to(self, model_id: str) -> str:
        return next((of.model_id for of in reversed(self._left()) if of.model_id != model_id), "")

    def _roll_back(self, model_id: str) -> None:
        self._state.rolled_back = [*self._state.rolled_back, model_id][-ROLLED_MAX:]

    def _end(self, one: ModelIncident, end_ms: int, by: str) -> Incident:
        self._state.open.remove(one)
        return serving.incident(self._config, one.next(), end_ms, by)

    # What people say -----------------------------------------------------------------------------------------------

    def act(self, action: Action, time_ms: int) -> Said:
        """Take in what a person says, at a time of the stream; what changes nothing has no effect."""
        if action.verb in ("accept", "ack"):
            named = [one for one in self._state.open if one.id == action.incident_id]
            return Said(incidents=[self._end(one, time_ms, action.by) for one in named])
        if not self._change(action):
            return Said()
        why = action.why or f"{action.by} has said so"
        change = serving.change(
            self._config, action.verb, action.model, self.service, action.by, time_ms, why, cause=action.id
        )
        return Said(changes=[change])

    def _change(self, action: Action) -> bool:
        """Whether a person's word changes anything; what it changes is then so."""
        state, model_id = self._state, action.model
        if action.verb == "pin" and model_id and model_id != state.pinned:
            state.pinned = model_id
        elif action.verb == "unpin" and state.pinned:
            state.pinned = ""
        elif action.verb == "rollback" and model_id not in ("", *state.rolled_back) and self._returns_to(model_id):
            state.pinned = "" if state.pinned == model_id else state.pinned
            self._roll_back(model_id)
        else:
            return False
        return True

    def to_state(self) -> Any:
        """Plain values for a snapshot."""
        return msgspec.to_builtins(self._state)

    def restore(self, state: Any) -> None:
        """Inverse of :meth:`to_state`."""
        self._state = msgspec.convert(state, _State)
