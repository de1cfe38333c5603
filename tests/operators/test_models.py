"""``driftflow models``: what people see of models and say of them, by what stands on the signals topic."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Action
from schemas.records import ModelNotice, ServiceChange
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.models.keys import request_key, signing_key
from stream_app.models.keys.commands import new_key
from stream_app.models.signing import sign
from stream_app.operators import acting, models, waiting
from stream_app.trainer.publishing import notice_message
from tests.audit.stored import DAYS, PANES, store_windows
from tests.models.streams import config_in, notice_of

SAID_MS = 1_700_000_000_000


class Signals:
    """The signals topic, and what was sent to the actions topic."""

    def __init__(self, config: Config) -> None:
        self._config, self.messages, self.sent = config, list[Any](), list[Action]()

    def notice(self, model_id: str, status: str, request: str, **fields: Any) -> ModelNotice:
        number = len(self.messages) + 1
        made = msgspec.structs.replace(
            notice_of(model_id, status), request_id=request, sequence=number, created_ms=number, **fields
        )
        self._add(notice_message(self._config, made, signing_key(self._config)))
        return made

    def change(self, verb: str, model_id: str, returns_to: str = "") -> None:
        made = ServiceChange(
            id=f"c{len(self.messages)}",
            stream="s",
            verb=verb,
            model_id=model_id,
            returns_to=returns_to,
            by="ann",
            pane_end_ms=100 + len(self.messages),
            why="so",
        )
        self._add(sign(encode_event(Envelope(made, made.id, "/driftflow/s/judge", 1)), request_key(self._config)))

    def _add(self, message: Any) -> None:
        self.messages.append(SimpleNamespace(value=message.value, headers=list(message.headers), timestamp=SAID_MS))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = config_in(tmp_path)
    signing_key(config)
    request_key(config)
    new_key(config, "operator")
    return config


@pytest.fixture
def signals(config: Config, monkeypatch: pytest.MonkeyPatch) -> Signals:
    """Two promoted models, one that waits, and one whose candidate was refused."""
    signals = Signals(config)
    monkeypatch.setattr(models, "read_signals", lambda _: iter(signals.messages))
    monkeypatch.setattr(
        acting, "send_action", lambda _, message: signals.sent.append(msgspec.json.decode(message.value, type=Action))
    )
    signals.notice("aaa1", "promoted", "r1")
    signals.notice("bbb1", "promoted", "r2", provenance={"seed": 5, "approved_by": "", "settings": {"x": 1}})
    signals.notice("ccc1", "candidate", "r3")
    signals.notice("ccc1", "waiting", "r3", gates={"likelihood": {"passed": True, "says": "better", "figure": 0.2}})
    signals.notice("ddd1", "candidate", "r4")
    signals.notice("ddd1", "refused", "r4")
    return signals


def test_what_waits_is_approved_or_rejected_by_the_first_characters_of_its_id(config: Config, signals: Signals) -> None:
    for verb, said in (("approve", "ann lets it go on"), ("reject", "ann refuses it")):
        lines = models.run_on_waiting(config, verb, "cc", "ann", "seen")
        assert lines[0].startswith("model ccc1 waiting")
        assert lines[1].startswith(said)
    assert [(one.verb, one.model, one.by, one.why) for one in signals.sent] == [
        ("approve", "ccc1", "ann", "seen"),
        ("reject", "ccc1", "ann", "seen"),
    ]
    with pytest.raises(DriftflowError, match="no model that waits has an id that begins with 'ddd'"):
        models.run_on_waiting(config, "approve", "ddd", "ann", "")
    assert len(signals.sent) == 2


def test_a_roll_back_is_of_the_model_in_service_and_says_which_returns(config: Config, signals: Signals) -> None:
    (line,) = models.run_rollback(config, "", "ann", "")
    assert line.startswith("ann takes model bbb1 out of service: model aaa1 is in service then")
    (line,) = models.run_rollback(config, "aaa", "ann", "")
    assert "model bbb1 stays in service" in line
    signals.change("rollback", "bbb1", "aaa1")
    with pytest.raises(DriftflowError, match="there is no model before aaa1 that could return"):
        models.run_rollback(config, "", "ann", "")
    assert [one.model for one in signals.sent] == ["bbb1", "aaa1"]


def test_pins_and_anchors_are_of_models_that_were_promoted(config: Config, signals: Signals) -> None:
    assert "keeps it there" in models.run_on_promoted(config, "pin", "aaa1", "ann", "")[0]
    assert "the anchor" in models.run_on_promoted(config, "anchor", "bbb", "ann", "")[0]
    models.run_unpin(config, "ann", "")
    with pytest.raises(DriftflowError, match="no promoted model has an id that begins with 'ccc1'"):
        models.run_on_promoted(config, "pin", "ccc1", "ann", "")
    assert [(one.verb, one.model) for one in signals.sent] == [("pin", "aaa1"), ("anchor", "bbb1"), ("unpin", "")]


def test_a_model_is_shown_with_all_that_was_decided(config: Config, signals: Signals) -> None:
    lines = models.show_model(config, "ccc", as_json=False)
    assert lines[0] == "model ccc1: waiting"
    assert [line for line in lines if "candidate: " in line]
    assert "  passed  likelihood: better" in lines
    assert models.show_model(config, "bbb", as_json=False)[0] == "model bbb1: in service"
    signals.change("pin", "aaa1")
    assert models.show_model(config, "aaa", as_json=False)[0] == "model aaa1: in service"
    notices = [msgspec.json.decode(line) for line in models.show_model(config, "ddd", as_json=True)]
    assert [notice["status"] for notice in notices] == ["candidate", "refused"]


def test_who_decides_sees_how_long_it_waits_what_came_meanwhile_and_what_follows(
    config: Config, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = {
        "canaries": {"passed": False, "waits": True, "says": "it forgets", "incidents": ["i1"]},
        "calibration_high": {"passed": True, "says": "as it should be", "in_service": 0.141},
    }
    monkeypatch.setattr(waiting.time, "time_ns", lambda: (SAID_MS + 5 * 3_600_000) * 1_000_000)
    signals.notice("eee1", "waiting", "r5", gates=gates, parent_id="bbb1")
    before = models.show_model(config, "eee", as_json=False)[2:5]
    assert before == [
        "  waits for a person for 5 hours; what has come of the events meanwhile is not known here: the embedded store "
        "has no pane since",
        "  yes (driftflow models approve eee1): it is compared with model bbb1 on live events, and enters service "
        "where it is surely better there; nobody is asked again; no later model is held to what it does not flag any "
        "more: incident i1",
        "  no (driftflow models reject eee1): model bbb1 stays in service, which finds 14.10% of the newest events as "
        "strange as 1% should be; another one is asked for when retrain.cooldown is over, or at once where somebody "
        "accepts an incident",
    ]
    store_windows(config, "bbb1", "station", {"Dongsi": 0.14, "Wanliu": 0.14})
    (eee, ccc) = models.waiting(config)
    assert (eee.notice.model_id, eee.waited_ms, ccc.meanwhile) == ("eee1", 5 * 3_600_000, None)
    assert eee.meanwhile is not None
    assert eee.meanwhile.scored == 2 * 400 * PANES * DAYS
    assert eee.meanwhile.alarms / eee.meanwhile.scored == pytest.approx(0.14, abs=0.01)
    assert "the model in service has found 1" in eee.says()[0]
    lines = models.run_on_waiting(config, "approve", "eee", "ann", "")
    assert lines[-1] == f"Then {eee.yes}."
    assert models.run_on_waiting(config, "reject", "eee", "ann", "")[-1] == f"Then {eee.no}."


def test_two_models_differ_in_what_the_lines_say(config: Config, signals: Signals) -> None:
    lines = models.diff_models(config, "aaa", "bbb")
    assert lines[0] == "aaa1 → bbb1"
    assert "  seed: – → 5" in lines
    assert "  settings.x: – → 1" in lines
    assert models.diff_models(config, "aaa", "aaa")[1:] == ["  they agree in all"]


def test_what_no_trusted_key_has_signed_is_no_notice(config: Config, signals: Signals, tmp_path: Path) -> None:
    other = Signals(config_in(tmp_path / "other"))
    other.notice("evil", "waiting", "r9")
    signals.messages += [*other.messages, SimpleNamespace(value=b"junk", headers=[("ce_type", None)])]
    assert "evil" not in models.read_decided(config).notices
