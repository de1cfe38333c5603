"""``driftflow notify`` killed while it delivers: nothing is lost, repeats have the same key, threads go on."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.admin._topics import NewTopic
from msgspec.structs import replace

from schemas.incidents import Incident
from tests.brokers import APACHE, EMBEDDED
from tests.forked import Forked, driftflow
from tests.integration.monitored import ask, metrics, missing
from tests.notify.receivers import A, B, Receiver, Reply, Sent, message_of, slack_like, told, wait_for
from tests.people import incident

TOML = """
stream = "{name}"
[topics]
events = "{name}.events"
[event]
time_field = "time"
numeric = ["x"]
[kafka]
bootstrap = ["{bootstrap}"]
group = "{name}"
[notify.webhook.own]
url = "{url}/hook"
[notify.slack.team]
token_file = "token"
channel = "C1"
api = "{url}/api"
"""
KILLS = 3


class Station:
    """A stream's signals topic, a receiver, and the process between them."""

    def __init__(self, broker: str, name: str, folder: Path, receiver: Receiver) -> None:
        self.name, self.folder, self.receiver = name, folder, receiver
        self.toml = folder / "driftflow.toml"
        self.toml.write_text(TOML.format(name=name, bootstrap=broker, url=receiver.url))
        (folder / "token").write_text("xoxb-1")
        admin = KafkaAdminClient(bootstrap_servers=broker)
        admin.create_topics([NewTopic(f"{name}.signals", 2, 1)])
        admin.wait_for_topics([f"{name}.signals"])
        admin.close()
        self._producer = KafkaProducer(bootstrap_servers=broker)
        self.process: Forked | None = None

    def say(self, *incidents: Incident, partition: int = 1) -> list[str]:
        """Put messages on the topic; their keys."""
        keys = []
        for one in incidents:
            message = message_of(one)
            headers = list(message.headers)
            self._producer.send(f"{self.name}.signals", message.value, headers=headers, partition=partition)
            keys.append(told(one).key)
        self._producer.flush()
        return keys

    def of(self, name: str, number: int = 1, **fields: str) -> Incident:
        state = "open" if number == 1 else "update"
        return incident(name, **{"stream": self.name, "number": number, "state": state, **fields})

    def start(self) -> None:
        self.process = driftflow("notify", "-c", str(self.toml), log=self.folder / "log")

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
        self._producer.close()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def station(broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path) -> Iterator[Station]:
    with Receiver(lambda sent: slack_like(sent) if "chat" in sent.path else Reply()) as receiver:
        made = Station(broker[1], unique("notify"), tmp_path, receiver)
        yield made
        made.close()


def key_of(sent: Sent) -> str:
    key = sent.json["metadata"]["event_payload"]["key"] if "chat" in sent.path else sent.headers["webhook-id"]
    return str(key)


def firsts(sent: list[Sent], path: str) -> list[str]:
    """Keys that came to one channel, each where it came first."""
    return list(dict.fromkeys(key_of(each) for each in sent if path in each.path))


@APACHE  # the embedded broker waits for a member that was killed, whatever its name
def test_whenever_it_is_killed_nothing_is_lost_and_repeats_have_the_same_key(station: Station, seed: int) -> None:
    draw = random.Random(seed)
    before = station.say(station.of(A), station.of(B), station.of(B, 2, state="resolve"))
    messages = [station.of(draw.choice([A, B]), number) for number in range(3, 19)]
    kills, answer, count = set(draw.sample(range(2, 32), KILLS)), station.receiver.reply, [0]
    guard = threading.Lock()

    def reply(sent: Sent) -> Reply:
        """Kill it at some deliveries: they have arrived, and it has not noted that."""
        with guard:
            count[0] += 1
            if count[0] in kills and station.process is not None:
                station.process.kill()
        return answer(sent)

    station.start()
    station.receiver.wait(lambda sent: len(sent) == 2)  # what is open
    station.receiver.reply = reply
    keys = station.say(*messages)

    def all_there() -> bool:
        assert station.process is not None
        if station.process.poll() is not None:
            assert station.process.returncode == -signal.SIGKILL, station.log
            station.start()
        sent = list(station.receiver.sent)
        return all(set(keys) <= set(firsts(sent, path)) for path in ("hook", "chat"))

    wait_for(all_there, "everything to arrive", 120.0)
    assert station.stop() == 0, station.log
    sent = list(station.receiver.sent)
    assert count[0] >= max(kills), "each kill took place"
    for path in ("hook", "chat"):
        assert firsts(sent, path) == [before[0], *keys], "in order, and nothing of what was over before"
    repeats = len(sent) - 2 * len([before[0], *keys])
    assert 1 <= repeats <= 2 * KILLS, "what was under way: one message a channel and kill at most"
    for thread in (A, B):
        said = [s.json for s in sent if "chat" in s.path and s.json["metadata"]["event_payload"]["thread"] == thread]
        roots = {f"1.{body['client_msg_id'][:6]}" for body in said if "thread_ts" not in body}
        assert len(roots) <= 1
        assert {body["thread_ts"] for body in said if "thread_ts" in body} <= roots


@EMBEDDED
def test_what_two_partitions_tell_of_one_fault_is_one_thread(station: Station) -> None:
    station.say(station.of(A))
    station.start()
    station.receiver.wait(lambda sent: len(sent) == 2)
    broken = [
        replace(station.of(f"p{k}"), cause_id="not-json", rules=["intake"], members=[], member_count=0) for k in (0, 1)
    ]
    over = [replace(one, number=2, state="resolve", reason="ended") for one in broken]
    station.say(broken[0], partition=0)
    station.receiver.wait(lambda sent: len(sent) == 4)
    station.say(broken[1], over[1], partition=1)
    station.say(station.of(A, 2, state="resolve"), partition=1)
    station.receiver.wait(lambda sent: len(sent) == 6)  # what is on the partition before it has been read
    assert station.stop() == 0, station.log
    station.start()
    station.say(over[0], partition=0)
    station.receiver.wait(lambda sent: len(sent) == 8)
    assert station.stop() == 0, station.log
    chat = [sent.json["metadata"]["event_payload"] for sent in station.receiver.sent if "chat" in sent.path]
    assert [(said["thread"], said["state"]) for said in chat if said["thread"] != A] == [("p0", "open"), ("p0", "over")]


@EMBEDDED
def test_a_second_one_on_the_same_outbox_is_refused_and_the_first_goes_on(station: Station) -> None:
    station.say(station.of(A))
    station.start()
    station.receiver.wait(lambda sent: len(sent) == 2)
    second = driftflow("notify", "-c", str(station.toml), log=station.folder / "second")
    assert second.wait(60) == 1
    assert "is held by another `driftflow notify`" in (station.folder / "second").read_text()
    station.say(station.of(A, 2, state="resolve"))
    station.receiver.wait(lambda sent: len(sent) == 4)
    url = station.log.partition("probes and metrics at ")[2].split()[0]
    assert [ask(url, path)[0] for path in ("/livez", "/readyz")] == [200, 200]
    found = metrics(url, "notify")
    assert missing(found, "notify") == set()
    assert found["driftflow_notify_messages_total", "channel=slack.team", "outcome=delivered"] >= 1
    assert station.stop() == 0, station.log
    assert "Traceback" not in station.log
