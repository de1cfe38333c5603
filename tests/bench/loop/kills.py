"""SIGKILL to a real trainer at a call that is named: in each step of its work, before it or once it is done."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from schemas.records import ModelNotice

_KEEPING, _TRYING = "stream_app.trainer.keeping", "stream_app.trainer.trying"
_ANSWERS, _REGISTRY = "stream_app.trainer.requests.answers", "stream_app.models.registry"
_STATE, _CANDIDATES = "stream_app.trainer.shadow.state", "stream_app.trainer.shadow.candidates"
_DELIVERY = "stream_app.trainer.delivery"


@dataclass(frozen=True)
class Place:
    """A call.

    Attributes:
        step: what happens there, in words.
        module, owner, name: of the function; the owner is its class, or "".
        after: whether the call is done first.
        at: so many calls before it are let through.
        status: only calls about notices of this status count; "" for all.
    """

    step: str
    module: str
    owner: str
    name: str
    after: bool = True
    at: int = 0
    status: str = ""

    def is_about(self, given: Sequence[Any]) -> bool:
        """Whether a call with these arguments counts."""
        return not self.status or any(isinstance(of, ModelNotice) and of.status == self.status for of in given)


PLACES = (
    Place("a request is read, and not written down", _KEEPING, "Keeping", "note", after=False),
    Place("a request is written down", _KEEPING, "Keeping", "note"),
    Place("an attempt is written down", _ANSWERS, "Answers", "begin"),
    Place("the rows are read", _TRYING, "Trying", "_read"),
    Place("in the midst of the training", "stream_app.trainer.checkpoint", "CheckpointFile", "keep"),
    Place("trained, and not judged", "stream_app.trainer.training", "", "run_gates", after=False),
    Place("judged, and not signed", "stream_app.trainer.training", "", "run_gates"),
    Place("the candidate's bytes are kept", _REGISTRY, "Registry", "save"),
    Place("before the candidate is known", _STATE, "CandidateFile", "keep", after=False),
    Place("the candidate is known, and nobody was told", _STATE, "CandidateFile", "keep"),
    Place("before the candidate is told", _DELIVERY, "", "tell", after=False, status="candidate"),
    Place("the candidate is told", _DELIVERY, "", "tell", status="candidate"),
    Place("in the shadow", "stream_app.trainer.shadow.panes", "OpenPanes", "add", at=2),
    Place("the shadow has decided, and it is not written down", _CANDIDATES, "Candidates", "_close", after=False),
    Place("the decision is written down", _CANDIDATES, "Candidates", "_answer", after=False),
    Place("before the promotion has a number", _REGISTRY, "Registry", "record", after=False, status="promoted"),
    Place("the promotion has a number", _REGISTRY, "Registry", "record", status="promoted"),
    Place("the answer is written down", _ANSWERS, "Answers", "answer"),
    Place("before the model is on its topic", _DELIVERY, "", "publish", after=False, status="promoted"),
    Place("the model is on its topic, and nobody was told", _DELIVERY, "", "publish", status="promoted"),
    Place("the promotion is told, and not in the registry", _DELIVERY, "", "tell", status="promoted"),
    Place("the promotion is in the registry", _REGISTRY, "Registry", "change"),
    Place("before the answer counts as sent", _ANSWERS, "Answers", "sent", after=False),
    Place("the answer is sent, and the candidate not forgotten", _STATE, "CandidateFile", "clear", after=False),
    Place("the candidate is forgotten", _STATE, "CandidateFile", "clear"),
    Place("before a refusal has a number", _REGISTRY, "Registry", "record", after=False, status="refused"),
    Place("a refusal has a number", _REGISTRY, "Registry", "record", status="refused"),
    Place("before a refusal is told", _DELIVERY, "", "tell", after=False, status="refused"),
    Place("a refusal is told", _DELIVERY, "", "tell", status="refused"),
    Place("a request that is covered has its number", _REGISTRY, "Registry", "record", status="covered"),
    Place("before it is told that one is covered", _DELIVERY, "", "tell", after=False, status="covered"),
    Place("it is told that one is covered", _DELIVERY, "", "tell", status="covered"),
    Place("answered, and not committed", "stream_app.trainer.answering", "Answering", "answer"),
    Place("before a commit", "stream_app.trainer.trainer", "Trainer", "_commit", after=False, at=3),
    Place("in the midst of the answers", _ANSWERS, "Answers", "sent", at=20),
)
"""Each trainer is ended by the first of those that are left."""


def killer(places: Sequence[Place], told: Path) -> Any:
    """A function of no arguments that puts the kills into a process: the first place that it comes to is its end, and
    is written into a file.
    """
    return partial(arm, tuple(places), str(told))


def owner_of(place: Place) -> Any:
    """What has the function."""
    of = importlib.import_module(place.module)
    return getattr(of, place.owner) if place.owner else of


def arm(places: Sequence[Place], told: str) -> None:
    """This process ends by SIGKILL at the first of some calls; nothing else of it changes."""
    for place in places:
        _arm(place, told)


def _arm(place: Place, told: str) -> None:
    of = owner_of(place)
    done, calls = getattr(of, place.name), iter(range(10**9))

    def die() -> None:
        Path(told).write_text(place.step)
        os.kill(os.getpid(), signal.SIGKILL)

    def call(*given: Any, **named: Any) -> Any:
        is_now = place.is_about(given) and next(calls) == place.at
        if is_now and not place.after:
            die()
        result = done(*given, **named)
        if is_now:
            die()
        return result

    setattr(of, place.name, call)
