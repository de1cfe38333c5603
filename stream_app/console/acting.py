"""What people answer on the page: to incidents, and about models. Each is an action that the operator's key signs, sent
to the broker; the store is only read.

Who has the token may answer, where this console has the key: it is printed when the console starts, or lies in a file.
Other sites may not, even in the browser of somebody who has it: an answer comes from our own origin, with the token in
a header that no form can send.
"""

from __future__ import annotations

import getpass
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from schemas.bounds import Id, Name, Text
from schemas.incidents import Action, Incident
from stream_app.config import Config
from stream_app.config.types import read_secret
from stream_app.console.story import silence_of
from stream_app.errors import DriftflowError
from stream_app.kafka.probes import tcp_fault
from stream_app.models.keys import operator_key
from stream_app.operators import acting, models

BODY_MAX = 32_768
TOKEN = "x-driftflow-token"  # noqa: S105 - the header's name
TOKEN_MIN = 20
"""Characters of a token from a file: one that people can guess is none."""

_LOOK_S = 30.0
_OF_MODELS = ("approve", "reject", "pin", "unpin", "rollback")
_HOURS_MAX = 24 * 31


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """What the page sends. ``hours`` is how long a silence lasts, in the stream's time."""

    verb: Literal["ack", "accept", "feedback", "silence", "unsilence", "approve", "reject", "pin", "unpin", "rollback"]
    incident_id: Id = ""
    verdict: Literal["", "useful", "noise", "wrong-owner"] = ""
    by: Name = ""
    why: Text = ""
    model: Id = ""
    hours: int = 0

    def __post_init__(self) -> None:
        if (self.verb == "feedback") != bool(self.verdict):
            raise ValueError("feedback has a verdict, and nothing else has one")
        if bool(self.model) != (self.is_of_model and self.verb != "unpin"):
            raise ValueError("what is said of a model names it, and nothing else does")
        if bool(self.incident_id) == self.is_of_model:
            raise ValueError("what is said of an incident or a silence names it, and nothing else does")
        if (self.verb == "silence") != (0 < self.hours <= _HOURS_MAX):
            raise ValueError(f"a silence lasts from 1 to {_HOURS_MAX} hours, and nothing else lasts")
        if self.verb == "silence" and not self.why.strip():
            raise ValueError("a silence has a reason: whoever finds it wants to know")

    @property
    def is_of_model(self) -> bool:
        """Whether it is about a model, and not about an incident or a silence."""
        return self.verb in _OF_MODELS


class Desk:
    """Signs and sends answers where the operator's key is here and a broker can be reached.

    Raises:
        DriftflowError: the file of the token cannot be read, or holds none that is worth the name.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.token = token_of(config)
        self._lock = threading.Lock()
        self._looked, self._fault = -_LOOK_S, ""

    def fault(self) -> str:
        """Why nothing can be sent from here; "" where it can. Looked at twice a minute at most."""
        with self._lock:
            if time.monotonic() - self._looked >= _LOOK_S:
                self._fault = self._look()
                self._looked = time.monotonic()
            return self._fault

    def _look(self) -> str:
        try:
            operator_key(self.config)
        except DriftflowError as error:
            return str(error)
        faults = [tcp_fault(bootstrap) for bootstrap in self.config.kafka.bootstrap]
        return "; ".join(f"{fault[0]}: {fault[1]}" for fault in faults if fault) if all(faults) else ""

    def way_in(self, url: str) -> str:
        """How people come to answer on the page at an address, in a sentence."""
        file = self.config.console.token_file
        if file:
            return f"answers need the token in {self.config.path(file)}"
        return f"to answer there too: {url}/#token={self.token}"

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has the token."""
        return secrets.compare_digest(headers.get(TOKEN, "").encode(), self.token.encode())

    def is_ours(self, headers: Mapping[str, str]) -> bool:
        """Whether a request comes from our own page."""
        origin = urlsplit(headers.get("origin", "")).netloc.lower()
        same = bool(origin) and origin == headers.get("host", "").lower()
        return same and headers.get("sec-fetch-site", "same-origin") == "same-origin"

    def send(self, answer: Answer) -> Action:
        """Sign an answer to an incident, or the end of a silence, and send it; the broker has it when this returns.

        Raises:
            DriftflowError: the key cannot be used, or the broker did not take it.
        """
        return self._desk(answer).send(
            answer.verb, incident_id=answer.incident_id, verdict=answer.verdict, why=answer.why
        )

    def silence(self, answer: Answer, record: Incident, now_ms: int) -> Action:
        """Silence what an incident is about, from its last message on.

        Args:
            answer: how long, why.
            record: the last message of the incident.
            now_ms: how far the stream has come.

        Raises:
            DriftflowError: no single silence covers it; or what :meth:`send` raises.
        """
        names, words = silence_of(record)
        if not names:
            raise DriftflowError(words)
        until_ms = max(record.pane_end_ms, now_ms) + answer.hours * 3_600_000
        return self._desk(answer).send(
            "silence", None, why=answer.why, from_ms=record.pane_end_ms, to_ms=until_ms, **names
        )

    def say_of_model(self, answer: Answer) -> list[str]:
        """Say something of a model, as ``driftflow models`` does; sentences with what follows.

        Raises:
            DriftflowError: the model is not one of which that can be said; or what :meth:`send` raises.
        """
        verb, by = answer.verb, self._by(answer)
        if verb in ("approve", "reject"):
            return models.run_on_waiting(self.config, verb, answer.model, by, answer.why)
        if verb == "pin":
            return models.run_on_promoted(self.config, verb, answer.model, by, answer.why)
        if verb == "rollback":
            return models.run_rollback(self.config, answer.model, by, answer.why)
        return models.run_unpin(self.config, by, answer.why)

    def _desk(self, answer: Answer) -> acting.Desk:
        return acting.Desk(self.config, self._by(answer))

    def _by(self, answer: Answer) -> str:
        return answer.by.strip() or _somebody()


def token_of(config: Config) -> str:
    """The token of ``console.token_file``; without one another at each start.

    Raises:
        DriftflowError: the file cannot be read, or holds too short a one.
    """
    file = config.console.token_file
    if not file:
        return secrets.token_urlsafe(32)
    try:
        token = read_secret(file, "", config.root)
    except OSError as error:
        raise DriftflowError(
            f"console.token_file: {config.path(file)} cannot be read, {(error.strerror or str(error)).lower()}: write "
            "a token into it, or remove the setting"
        ) from None
    if len(token) < TOKEN_MIN or not token.isascii() or not token.isprintable() or " " in token:
        raise DriftflowError(
            f"console.token_file: {config.path(file)} holds no token of {TOKEN_MIN} plain characters or more in one "
            "word: `openssl rand -hex 32` makes one"
        )
    return token


def _somebody() -> str:
    """Whose console it is."""
    try:
        return f"{getpass.getuser()} (console)"
    except (OSError, KeyError, ImportError):
        return "console"
