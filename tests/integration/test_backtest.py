"""A backtest of the topic: the rules in service tell what the worker has told."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.codecs import decode_event
from schemas.incidents import Incident
from stream_app.kafka.signals import read_signals
from stream_app.offline.backtest.threads import folded
from tests.brokers import EMBEDDED
from tests.integration.conftest import MakeStream
from tests.integration.test_same_everywhere import run_live


@EMBEDDED
def test_the_rules_in_service_tell_what_the_worker_told(make_stream: MakeStream, example: Path) -> None:
    stream = make_stream()
    run_live(stream, example)
    stream.wait_until_done()
    stream.stop()
    rules, figures = stream.folder / "rules.toml", stream.folder / "figures.json"
    rules.write_text("")
    page = ["--out", str(stream.folder / "page.html"), "--json", str(figures)]
    stream.command("backtest", "--topic", "--rules", str(rules), "--decisions", str(stream.decisions()), *page)
    found = json.loads(figures.read_text())
    records = [decode_event(message.value, message.headers) for message in read_signals(stream.config)]
    told = folded([record for record in records if isinstance(record, Incident)])
    assert told
    assert found["equal"]
    assert found["in_service"]["incidents"] == found["rules"]["incidents"] == len(told)
    assert found["events"] == stream.sent
