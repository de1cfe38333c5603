"""What a worker, a trainer and a console have to do while a fault is put into them."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from stream_app.kafka.embedded import free_port
from stream_app.kafka.topics import prepare
from stream_app.stages.score.state import COUNTERS
from tests.console.storing import write_store
from tests.hostile.faulting import Faulting, Rows
from tests.hostile.faults import Fault
from tests.hostile.requesting import Requesting
from tests.integration.stream import Stream

_A_THIRD = 700
_ASKED_S = 30.0


class Worker(Faulting):
    """A third of the events, then another model and the second third, then the last."""

    command = ("worker",)

    def prepare(self) -> None:
        """One model, and the first third."""
        self.stream.config = prepare(self.stream.config)
        self._publish_second = self._publish_first()
        self.stream.produce(self.rows[:_A_THIRD])

    def _publish_first(self) -> Callable[[], None]:
        registry = self.stream.folder / "models" / "air.notices.jsonl"
        notices = registry.read_text()
        registry.write_text(notices.splitlines()[0] + "\n")
        self.stream.publish()
        registry.write_text(notices)
        return self.stream.publish

    def is_ready(self) -> bool:
        """The first third is done."""
        topics = self.stream.config.topics
        return not any(self.stream.uncommitted(topic) for topic in (topics.events, topics.partials))

    def provoke(self) -> None:
        """Another model, and the second third."""
        self._publish_second()
        self.stream.produce(self.rows[_A_THIRD : 2 * _A_THIRD])

    def go_on(self) -> None:
        """The last third."""
        self.stream.produce(self.rows[2 * _A_THIRD : 3 * _A_THIRD])

    def left(self, fault: Fault) -> str:
        """Events and partials; points, unless what delivers them hangs."""
        if not self.is_ready():
            return "events or partials"
        spooled = int(self.stream.status().get("spooled", 0))
        return f"{spooled} points" if spooled and (fault.then, fault.how) != ("goes on", "hang") else ""

    def check(self) -> None:
        """Every event is counted once."""
        status, sent = self.stream.status(), self.stream.sent
        counted = sum(status[name] for name in COUNTERS if name != "received")
        if (status["received"], counted, status["rejected"]) != (sent, sent, 0):
            self.wrong(f"{sent} events were sent, and the status says {status}")


class Trainer(Faulting):
    """A request that comes to the fault, then another; each is answered once."""

    command = ("trainer",)

    def prepare(self) -> None:
        """Events, of which some weeks are asked for."""
        self.stream.produce(self.rows)
        self._asking = Requesting(self.stream, 0)
        self._requests: list[str] = []
        self.go_on()

    def is_ready(self) -> bool:
        """It has refused the first request."""
        return not self._unanswered()

    def provoke(self) -> None:
        """One request, after one that is not signed."""
        request = self._asking.request("genuine")
        self._asking.send_forged(request)
        self._asking.send(request, 0)
        self._requests.append(request.id)

    def go_on(self) -> None:
        """A request that cannot be right."""
        request = self._asking.request("no ranges", lambda _: {"train": []})
        self._asking.send(request, 1)
        self._requests.append(request.id)

    def left(self, fault: Fault) -> str:
        """Requests without an answer."""
        return ", ".join(self._unanswered())

    def _unanswered(self) -> list[str]:
        answered = self._asking.answered()
        return [request_id for request_id in self._requests if not answered[request_id]]

    def check(self) -> None:
        """No request has two answers."""
        answered = self._asking.answered()
        for request_id in self._requests:
            if answered[request_id] != 1:
                self.wrong(f"request {request_id} has {answered[request_id]} answers")


class Console(Faulting):
    """The page is asked for all the time."""

    def __init__(self, stream: Stream, rows: Rows) -> None:
        super().__init__(stream, rows)
        self._port = free_port()
        self.command = ("console", "--port", str(self._port))

    def prepare(self) -> None:
        """A store with a story in it."""
        stream = write_store(self.stream.folder / "driftflow.sqlite", panes=8).stream
        self.stream.toml.write_text(self.stream.toml.read_text().replace('stream = "air"', f'stream = "{stream}"'))

    def is_ready(self) -> bool:
        """It answers."""
        return self._ask() is not None

    def provoke(self) -> None:
        """The store has changed: the page is made anew, though not at once."""
        (self.stream.folder / "driftflow.sqlite").touch()
        until_s = time.monotonic() + _ASKED_S
        while not self.has_fired() and time.monotonic() < until_s:
            self._ask()

    def left(self, fault: Fault) -> str:
        """It shows what the store has."""
        answer = self._ask()
        return "" if answer is not None and answer.get("overview") else f"an overview, not {answer}"

    def _ask(self) -> dict[str, object] | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/overview", timeout=5) as link:
                answer: dict[str, object] = json.loads(link.read())
                return answer
        except urllib.error.HTTPError as error:
            return {"status": error.code}
        except OSError:
            return None


ROLES: dict[str, type[Faulting]] = {"worker": Worker, "trainer": Trainer, "console": Console}
"""Command to what it has to do."""
