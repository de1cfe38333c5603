"""What cannot work is refused before anything is read, with every reason; secrets are in no message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from stream_app import notify
from stream_app.cli import main
from stream_app.config import load
from stream_app.config.notify import NotifyConfig
from stream_app.errors import ConfigError
from stream_app.notify.opening import opened
from stream_app.notify.outbox import Outbox
from stream_app.notify.testing import test_notice as made_up
from tests.notify.receivers import A, Receiver, Reply, slack_like, told
from tests.people import incident

TOML = """
stream = "s"
[topics]
events = "s.events"
[event]
time_field = "time"
numeric = ["x"]
slicings = [["station"]]
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


def written(folder: Path, channels: str) -> Path:
    path = folder / "driftflow.toml"
    path.write_text(TOML + channels)
    return path


def faults(folder: Path, channels: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        opened(load(written(folder, channels)))
    return raised.value.faults


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["notify", "-c", str(folder / "driftflow.toml"), *words])


BAD = {
    "[notify]\ntimeout = '1h'": "notify.timeout: from",
    "[notify.alertmanager.a]": "notify.alertmanager.a.url: missing",
    "[notify.alertmanager.a]\nurl = 'http://u:p@h'": "url: without a user or a password in it",
    "[notify.alertmanager.a]\nurl = 'ftp://h'": "url: expected an address that begins with https:// or http://",
    "[notify.alertmanager.a]\nurl = 'http://h:99999'": "url: expected an address such as",
    "[notify.alertmanager.a]\nurl = 'http://h'\nresend = '10ms'": 'resend: at least "1s", got 10 ms',
    "[notify.alertmanager.a]\nurl = 'http://h'\ntell = ['strange']": "tell: strange events have no end",
    "[notify.webhook.w]\nurl = 'h/x'": "notify.webhook.w.url: expected an address",
    "[notify.slack.t]": "url_env (of an incoming webhook) or token_env with channel (of a bot): one is needed",
    "[notify.slack.t]\nurl_env = 'U'\ntoken_env = 'T'\nchannel = 'C'": "either a webhook or a bot, not both",
    "[notify.slack.t]\ntoken_env = 'T'": "notify.slack.t.channel: needed with a bot's token",
    "[notify.pagerduty.p]": "notify.pagerduty.p.key_env or key_file: needed",
    "[notify.mail.m]\nhost = 'h'\nsender = 'x'\nto = ['a@b']": "sender: expected an address such as",
    "[notify.mail.m]\nhost = 'h'\nsender = 'a@b'": "to: one address at least",
    "[notify.mail.m]\nhost = 'h\\r\\nX'\nsender = 'a@b'\nto = ['a@b']": "host: expected the name of a mail server",
    "[notify.mail.m]\nhost = 'h'\nsender = 'a@b'\nto = ['a@b\\nBcc: x']": "to: expected an address such as",
    "[notify.mail.m]\nhost = 'h'\nsender = 'a@b'\nto = ['a@b']\nusername = 'u'": "password_file: needed with",
    "[notify.mail.m]\nhost = 'h'\nsender = 'a@b'\nto = ['a@b']\ntls = 'none'\nusername = 'u'\npassword_env = 'P'": (
        "tls: the password would go over the network in clear"
    ),
    "[notify.slack.t]\nurl_env = 'U'\nslices = ['statin=a']": "'statin' in 'statin=a' is none of the fields",
    "[notify.slack.t]\nurl_env = 'U'\nslices = ['station=']": "slices: 'station=' names no slice",
    "[notify.slack.t]\nurl_env = 'U'\nseverity = 'waning'": "severity: one of info, warning, critical, got 'waning'",
    "[notify.slack.t]\nurl_env = 'U'\ntell = []": "tell: name one thing at least",
    "[notify.slack.'a b']\nurl_env = 'U'": "notify.slack.a b: a name of letters",
    "[notify.slak.t]\nurl_env = 'U'": "notify.slak: unknown key; did you mean 'slack'?",
}


@pytest.mark.parametrize(("channels", "fault"), BAD.items(), ids=[str(n) for n in range(len(BAD))])
def test_a_channel_that_cannot_work_is_refused_with_its_reason(tmp_path: Path, channels: str, fault: str) -> None:
    assert any(fault in said for said in faults(tmp_path, channels)), faults(tmp_path, channels)


def test_all_reasons_come_at_once(tmp_path: Path) -> None:
    channels = "[notify.slack.t]\nseverity = 'x'\n[notify.pagerduty.p]\n[notify.mail.m]\nhost = 'h'\n"
    assert {said.partition(": ")[0] for said in faults(tmp_path, channels)} >= {
        "notify.slack.t.severity",
        "notify.pagerduty.p.key_env or key_file",
        "notify.mail.m.sender",
        "notify.mail.m.to",
    }


def test_secrets_that_are_not_there_are_named_by_where_they_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAD_URL", "hooks.slack.com/services/s3cret")
    monkeypatch.setenv("BAD_TOKEN", "s3cret with blanks")
    monkeypatch.setenv("BAD_SECRET", "whsec_s3cret!")
    channels = """
[notify.slack.a]
url_env = "NOT_SET"
[notify.slack.b]
url_env = "BAD_URL"
[notify.slack.c]
token_env = "BAD_TOKEN"
channel = "C1"
[notify.webhook.d]
url = "http://h"
secret_env = "BAD_SECRET"
[notify.pagerduty.e]
key_file = "missing.txt"
[notify.mail.f]
host = "h"
sender = "a@b"
to = ["a@b"]
cafile = "missing.pem"
"""
    found = faults(tmp_path, channels)
    for name, said in {
        "slack.a": "NOT_SET is empty or not set",
        "slack.b": "BAD_URL: expected an address that begins with",
        "slack.c": "its token holds a blank",
        "webhook.d": "what follows whsec_ is no base64",
        "pagerduty.e": "missing.txt cannot be read: No such file",
        "mail.f": "missing.pem (cafile) holds no certificate",
    }.items():
        assert any(fault.startswith(f"notify.{name}: ") and said in fault for fault in found), found
    assert "s3cret" not in " ".join(found)
    assert len(found) == 6


def test_without_a_channel_there_is_nothing_to_do(tmp_path: Path) -> None:
    written(tmp_path, "")
    assert "[notify] has no channel: add one" in run(tmp_path, "--test").output


def test_a_test_goes_to_every_channel_and_says_what_came_back(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "xoxb-s3cret")
    monkeypatch.setenv("KEY", "s3cret" + "k" * 26)
    receiver.reply = lambda sent: (
        slack_like(sent) if "chat" in sent.path else Reply(400, b"no") if "v2" in sent.path else Reply()
    )
    written(
        tmp_path,
        f"""
[notify.slack.team]
token_env = "TOKEN"
channel = "C1"
api = "{receiver.url}/api"
[notify.webhook.own]
url = "{receiver.url}/hook"
severity = "warning"
[notify.pagerduty.oncall]
key_env = "KEY"
url = "{receiver.url}/v2/enqueue"
""",
    )
    done = run(tmp_path, "--test")
    assert done.exit_code == 1
    assert "slack.team: said 1." in done.output
    assert "webhook.own: answered 200; the test has begun and ended there" in done.output
    assert f"pagerduty.oncall: failed: {receiver.url} refuses it with 400 (no)" in done.output
    assert "s3cret" not in done.output
    hooks = [sent.json for sent in receiver.sent if sent.path == "/hook"]
    assert [hook["data"]["state"] for hook in hooks] == ["open", "resolve"]
    assert hooks[0]["data"]["severity"] == "warning"
    assert "nothing is wrong" in hooks[0]["data"]["summary"]
    first, last = (sent.json for sent in receiver.sent if "chat" in sent.path)
    assert last["thread_ts"] == f"1.{first['client_msg_id'][:6]}"


def test_what_waits_and_what_was_set_aside_is_listed_and_put_back(tmp_path: Path) -> None:
    written(tmp_path, "")
    assert "there is none before the first start of `driftflow notify`" in run(tmp_path, "--list").output
    outbox = Outbox(tmp_path / "notify.sqlite", 100)
    outbox.append([("x", told(incident(A))), ("x", told(incident(A, number=2)))])
    row = outbox.next("x")
    assert row is not None
    outbox.set_aside(row.number, "refuses it with 400")
    outbox.close()
    assert run(tmp_path, "--list").output.splitlines() == [
        "1 messages wait, 1 are set aside, 0 were given up",
        "  x: 1 wait",
        "  x: s: critical drift aaaaaaaa: refuses it with 400",
    ]
    assert "1 messages wait again" in run(tmp_path, "--retry").output
    assert run(tmp_path, "--list").output.startswith("2 messages wait, 0 are set aside")
    assert "one of them" in run(tmp_path, "--list", "--retry").output


def test_a_made_up_incident_is_one_that_can_be_told(tmp_path: Path) -> None:
    begun, ended = (made_up("s", "critical", 1_700_000_000_000, number) for number in (1, 2))
    assert (begun.thread, begun.state, ended.state) == (ended.thread, "open", "over")
    assert begun.key != ended.key
    assert begun.title.startswith("TEST s: critical data fault")


def test_the_face_of_the_room_is_exactly_what_is_public() -> None:
    public = {name for name, value in vars(notify).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert public == set(notify.__all__)


def test_every_channel_has_a_name_by_its_kind() -> None:
    config: Any = msgspec.convert({"mail": {"a": {}}, "slack": {"a": {}}}, NotifyConfig)
    assert list(config.channels()) == ["slack.a", "mail.a"]
