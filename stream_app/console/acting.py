"""What people answer on the page: acknowledged, accepted, useful or not. Each is an action that the operator's key
signs, sent to the broker; the store is only read.

Whoever may use the page may answer where this console has the key. Other sites may not: an answer comes from our own
origin, with a token that only our own page can read.
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
from schemas.incidents import Action
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.actions import action_message, new_action, send_action
from stream_app.kafka.probes import tcp_fault
from stream_app.models.keys import operator_key
from stream_app.models.signing import sign

BODY_MAX = 32_768
TOKEN = "x-driftflow-token"  # noqa: S105 - the header's name
_LOOK_S = 30.0


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """What the page sends."""

    verb: Literal["ack", "accept", "feedback"]
    incident_id: Id
    verdict: Literal["", "useful", "noise", "wrong-owner"] = ""
    by: Name = ""
    why: Text = ""

    def __post_init__(self) -> None:
        if (self.verb == "feedback") != bool(self.verdict):
            raise ValueError("feedback has a verdict, and nothing else has one")


class Desk:
    """Signs and sends answers where the operator's key is here and a broker can be reached."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.token = secrets.token_urlsafe(32)
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
            operator_key(self._config)
        except DriftflowError as error:
            return str(error)
        faults = [tcp_fault(bootstrap) for bootstrap in self._config.kafka.bootstrap]
        return "; ".join(f"{fault[0]}: {fault[1]}" for fault in faults if fault) if all(faults) else ""

    def is_ours(self, headers: Mapping[str, str]) -> bool:
        """Whether a request comes from our own page."""
        origin = urlsplit(headers.get("origin", "")).netloc.lower()
        same = bool(origin) and origin == headers.get("host", "").lower()
        fetched = headers.get("sec-fetch-site", "same-origin") == "same-origin"
        return same and fetched and secrets.compare_digest(headers.get(TOKEN, "").encode(), self.token.encode())

    def send(self, answer: Answer) -> Action:
        """Sign an answer and send it; the broker has it when this returns.

        Raises:
            DriftflowError: the key cannot be used, or the broker did not take it.
        """
        key = operator_key(self._config)
        action = new_action(
            self._config.stream,
            answer.verb,
            answer.by.strip() or _somebody(),
            incident_id=answer.incident_id,
            verdict=answer.verdict,
            why=answer.why,
        )
        send_action(self._config, sign(action_message(action), key))
        return action


def _somebody() -> str:
    """Whose console it is."""
    try:
        return f"{getpass.getuser()} (console)"
    except (OSError, KeyError, ImportError):
        return "console"
