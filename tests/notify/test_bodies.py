"""What goes over the wire has the shape that each receiver publishes, and a thread is a thread."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from jsonschema import Draft202012Validator, FormatChecker

from schemas.incidents import Finding, Incident
from stream_app.notify.channels.alertmanager import Alertmanager
from stream_app.notify.channels.base import Channel
from stream_app.notify.channels.pagerduty import PagerDuty
from stream_app.notify.channels.posting import Poster
from stream_app.notify.channels.slack import SlackBot, SlackWebhook
from stream_app.notify.channels.webhook import Webhook, key_of
from stream_app.notify.notices import Notice
from tests.notify.receivers import A, Receiver, Reply, Sent, slack_like, told
from tests.people import HOUR_MS, incident, member, silenced

TEXT, TIME = {"type": "string", "minLength": 1}, {"type": "string", "format": "date-time"}
LABELS = {"type": "object", "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}, "additionalProperties": TEXT}
ALERTS = {  # Alertmanager's openapi.yaml: postableAlerts
    "type": "array",
    "items": {
        "type": "object",
        "required": ["labels"],
        "additionalProperties": False,
        "properties": {
            "labels": LABELS,
            "annotations": LABELS,
            "startsAt": TIME,
            "endsAt": TIME,
            "generatorURL": {"type": "string", "format": "uri"},
        },
    },
}
EVENT = {  # PagerDuty's Events API v2: "Send an Alert Event"
    "type": "object",
    "required": ["routing_key", "event_action"],
    "additionalProperties": False,
    "properties": {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": TEXT,
        "links": {"type": "array", "items": {"type": "object", "required": ["href"], "properties": {"text": TEXT}}},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": TEXT,
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": TIME,
                "component": TEXT,
                "group": TEXT,
                "class": TEXT,
                "custom_details": {"type": "object"},
            },
        },
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
    "else": {"required": ["dedup_key"]},
}
MARKUP = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "mrkdwn"}, "text": {"type": "string", "minLength": 1, "maxLength": 3000}},
}
MESSAGE = {  # Slack's Block Kit: sections and contexts
    "type": "object",
    "required": ["text", "blocks"],
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": 4000},
        "blocks": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": {
                "oneOf": [
                    {"properties": {"type": {"const": "section"}, "text": MARKUP}, "required": ["type", "text"]},
                    {
                        "properties": {
                            "type": {"const": "context"},
                            "elements": {"type": "array", "minItems": 1, "maxItems": 10, "items": MARKUP},
                        },
                        "required": ["type", "elements"],
                    },
                ]
            },
        },
        "thread_ts": {"type": "string", "pattern": r"^\d+\.\w+$"},
        "client_msg_id": {"type": "string", "format": "uuid"},
    },
}
KEY = "k" * 32
LINKS = {"console": "http://127.0.0.1:8765/#incident=a", "grafana": "https://g/?from=1&to=2"}


def one(**fields: Any) -> Incident:
    """An incident with something of everything, and texts that markup would take for its own."""
    found = Finding(
        detector="location", feature="TEMP", weight=0.8, direction="up", measure="mean", says="TEMP <4 σ> & up"
    )
    known = {"findings": [found], "links": LINKS, "next": "A model is asked for <!channel>", "since_ms": 6 * HOUR_MS}
    return incident(A, **{**known, **fields})


OPEN = told(one())
GRAVER = told(one(number=2, state="update", reason="severity", severity="critical"))
MILD = told(one(severity="warning"))
ACKED = told(one(number=3, state="update", reason="action", acked_by="anna"))
OVER = told(one(number=4, state="resolve", reason="ended"))
HUGE = told(one(summary="s" * 9_000, members=[member(slice_="n" * 900)] * 40, member_count=40, next="x" * 5_000))


def check(schema: Any, body: Any) -> None:
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(body)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


def poster(receiver: Receiver, path: str = "") -> Poster:
    return Poster(receiver.url + path, 10.0, None, [KEY])


def deliver(channel: Channel, *notices: Notice) -> list[str]:
    """Deliver in one thread; what is remembered after each."""
    refs = [""]
    for notice in notices:
        refs.append(channel.send(notice, refs[-1]).ref)
    channel.close()
    return refs[1:]


@pytest.mark.parametrize("huge", [False, True])
def test_pagerduty_triggers_acknowledges_and_resolves_one_alert(receiver: Receiver, huge: bool) -> None:
    receiver.reply = lambda _: Reply(202, b'{"status":"success","message":"Event processed"}')
    first = HUGE if huge else OPEN
    assert deliver(PagerDuty(poster(receiver), KEY), first, GRAVER, ACKED, OVER) == ["triggered"] * 3 + [""]
    bodies = [sent.json for sent in receiver.sent]
    for body in bodies:
        check(EVENT, body)
    assert [(body["event_action"], body["dedup_key"]) for body in bodies] == [
        ("trigger", A),
        ("trigger", A),
        ("acknowledge", A),
        ("resolve", A),
    ]
    assert bodies[0]["links"][0] == {"href": LINKS["console"], "text": "console"}
    assert bodies[0]["payload"]["timestamp"] == "1970-01-01T06:00:00Z"


def test_what_was_acknowledged_before_it_was_told_is_triggered_first(receiver: Receiver) -> None:
    deliver(PagerDuty(poster(receiver), KEY), ACKED)
    assert [sent.json["event_action"] for sent in receiver.sent] == ["trigger", "acknowledge"]


def test_a_silence_resolves_at_pagerduty_and_its_end_triggers_again(receiver: Receiver) -> None:
    hushed = told(silenced(incident(A, number=2, state="update", reason="action")))
    goes_on = told(incident(A, number=3, state="update", reason="action"))
    assert deliver(PagerDuty(poster(receiver), KEY), OPEN, hushed, goes_on) == ["triggered", "", "triggered"]
    assert [sent.json["event_action"] for sent in receiver.sent] == ["trigger", "resolve", "trigger"]


def test_slack_has_one_thread_an_incident_whose_end_all_see(receiver: Receiver) -> None:
    receiver.reply = slack_like
    refs = deliver(SlackBot(poster(receiver, "/api/chat.postMessage"), "xoxb-1", "C1"), OPEN, ACKED, HUGE, OVER)
    bodies = [sent.json for sent in receiver.sent]
    for body in bodies:
        check(MESSAGE, body)
        assert body["channel"] == "C1"
    root = f"1.{bodies[0]['client_msg_id'][:6]}"
    assert refs == [root] * 4
    assert [body.get("thread_ts") for body in bodies] == [None, root, root, root]
    assert [body.get("reply_broadcast") for body in bodies] == [None, False, True, True]
    assert len({body["client_msg_id"] for body in bodies}) == len({notice.key for notice in (OPEN, ACKED, OVER)})
    assert uuid.UUID(bodies[0]["client_msg_id"])
    assert receiver.sent[0].headers["authorization"] == "Bearer xoxb-1"
    shown = bodies[0]["blocks"][0]["text"]["text"] + bodies[0]["blocks"][1]["text"]["text"]
    assert "TEMP &lt;4 σ&gt; &amp; up" in shown
    assert "&lt;!channel&gt;" in shown, "nobody is called by a text"
    assert f"<{LINKS['console']}|console>" in bodies[0]["blocks"][-1]["elements"][0]["text"]


def test_a_thread_that_was_deleted_begins_anew(receiver: Receiver) -> None:
    receiver.reply = slack_like
    receiver.first = [Reply(body=b'{"ok":false,"error":"thread_not_found"}')]
    channel = SlackBot(poster(receiver), "xoxb-1", "C1")
    assert channel.send(OVER, "1.old").ref.startswith("1.")
    assert [sent.json.get("thread_ts") for sent in receiver.sent] == ["1.old", None]


def test_a_webhook_of_slack_is_told_the_same_without_threads(receiver: Receiver) -> None:
    assert deliver(SlackWebhook(poster(receiver, "/services/T/B/x")), OPEN, OVER) == ["", ""]
    for sent in receiver.sent:
        check(MESSAGE, sent.json)
        assert "incident aaaaaaaa" in sent.json["blocks"][-1]["elements"][0]["text"]


def test_a_webhook_is_the_cloud_event_signed_as_standard_webhooks_are(receiver: Receiver) -> None:
    secret = "whsec_" + base64.b64encode(b"24 bytes of a real key..").decode()
    deliver(Webhook(poster(receiver, "/hook"), {}, secret), OPEN)
    (sent,) = receiver.sent
    event: Any = JSONFormat().read(CloudEvent, sent.body)
    assert (event.get_id(), event.get_type()) == (OPEN.key, "driftflow.incident.v1")
    assert event.get_source() == "/driftflow/s/judge"
    assert event.get_data() == json.loads(OPEN.data)
    assert sent.headers["content-type"].startswith("application/cloudevents+json")
    # As https://www.standardwebhooks.com has it, written down anew.
    signed = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.body
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert sent.headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert sent.headers["webhook-id"] == OPEN.key, "the same in a repeat"


@pytest.mark.parametrize(("secret", "key"), [("any text", b"any text"), ("whsec_YWJj", b"abc")])
def test_a_secret_is_text_or_base64(secret: str, key: bytes) -> None:
    assert key_of(secret) == key


def test_alertmanager_has_one_alert_that_ends_and_one_more_where_the_severity_changes(receiver: Receiver) -> None:
    channel = Alertmanager(poster(receiver, "/api/v2/alerts"), {}, 60.0)
    first, second, end = deliver(channel, MILD, GRAVER, OVER)
    assert (bool(first), bool(second), end) == (True, True, "")
    bodies = [sent.json for sent in receiver.sent]
    for body in bodies:
        check(ALERTS, body)
    mild, grave, over = bodies
    assert mild[0]["labels"] == {
        "alertname": "DriftflowIncident",
        "stream": "s",
        "incident": A,
        "severity": "warning",
        "kind": "drift",
    }
    assert mild[0]["startsAt"] == "1970-01-01T06:00:00Z"
    assert mild[0]["generatorURL"] == LINKS["console"]
    assert [alert["labels"]["severity"] for alert in grave] == ["critical", "warning"]
    ends = [datetime.fromisoformat(alert["endsAt"]) for alert in (*mild, *grave, *over)]
    assert ends[0] > ends[3], "an open one lasts"
    assert ends[1] > ends[2], "the milder one ends as the graver begins"
    assert over[0]["labels"] == grave[0]["labels"]
    assert over[0]["annotations"]["ended"] == "1970-01-02T06:00:00Z"


def test_open_alerts_are_sent_again_as_they_were(receiver: Receiver) -> None:
    channel = Alertmanager(poster(receiver), {}, 60.0)
    ref = channel.send(OPEN, "").ref
    channel.resend(["", ref, ref])
    first, again = (sent.json for sent in receiver.sent)
    check(ALERTS, again)
    assert [alert["labels"] for alert in again] == [first[0]["labels"]] * 2
    channel.close()


def test_no_body_holds_what_a_reader_would_not_take(receiver: Receiver) -> None:
    receiver.reply = lambda sent: slack_like(sent) if b"client_msg_id" in sent.body else Reply()
    for channel in (
        SlackBot(poster(receiver), "t", "C1"),
        SlackWebhook(poster(receiver)),
        PagerDuty(poster(receiver), KEY),
    ):
        deliver(channel, HUGE)
    assert all(isinstance(sent, Sent) and len(sent.body) < 60_000 for sent in receiver.sent)


def test_the_only_finding_is_not_said_again_where_the_summary_says_it() -> None:
    first, second = (
        Finding(detector="location", feature=name, weight=1.0, direction="up", measure="mean", says=f"{name} is higher")
        for name in ("TEMP", "PRES")
    )
    summary = "At Dongsi TEMP is higher."
    assert not any("is higher" in line for line in told(one(findings=[first], summary=summary)).lines)
    both = told(one(findings=[first, second], summary=summary)).lines
    assert [line for line in both if "is higher" in line] == [
        "TEMP is higher (100% of the evidence)",
        "PRES is higher (100% of the evidence)",
    ]
