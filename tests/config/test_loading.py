"""The configuration: the example loads, and a bad file is refused with every fault at once, each with its key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stream_app
from stream_app.config import Config, Duration, KafkaConfig, SinkConfig, load, parse
from stream_app.config.checking import topic_names
from stream_app.errors import ConfigError

EXAMPLE = Path(stream_app.__file__).parent / "demo/example/driftflow.toml"
MINIMAL: dict[str, Any] = {
    "stream": "s",
    "topics": {"events": "e"},
    "event": {"time_field": "at", "numeric": ["x", "y"], "categorical": ["c"], "slicings": [["station"], []]},
}


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the sections of ``change`` laid over it."""
    out = dict(base)
    for key, value in change.items():
        out[key] = {**base.get(key, {}), **value} if isinstance(value, dict) else value
    return out


def faults(change: dict[str, Any]) -> list[str]:
    """Faults of the minimal configuration with a change."""
    with pytest.raises(ConfigError) as caught:
        parse(merged(MINIMAL, change))
    return caught.value.faults


def test_example_loads() -> None:
    config = load(EXAMPLE)
    assert config.stream == "beijing-air"
    assert config.windows.pane == 6 * 3_600_000
    assert [int(span) // 86_400_000 for span in config.windows.spans] == [1, 7, 28]
    assert config.slicing_names == ["station"]
    assert {name: rule.retrain for name, rule in config.rules.items()} == {"drift": True, "fault": False}
    assert config.path("models") == EXAMPLE.parent / "models"


def test_wrong_types_do_not_hide_what_else_is_wrong() -> None:
    found = faults(
        {
            "windows": {"pane": "soon", "spans": ["1d"]},
            "kafka": {"bootstrap": ["nowhere"], "group": 7},
            "rules": {"drift": {"detectors": ["likelihood"], "open": "high"}},
            "model": {"flow": "real_nvp"},
            "sink": {"kind": "postgres", "pth": "x"},
        }
    )
    keys = sorted(fault.partition(":")[0] for fault in found)
    assert keys == [
        "kafka.bootstrap",
        "kafka.group",
        "model.flow",
        "rules.drift.open",
        "sink.kind",
        "sink.pth",
        "windows.pane",
    ]


def test_without_what_has_no_default_only_types_are_told() -> None:
    found = faults({"event": {"numeric": "x"}, "model": {"flow": "real_nvp"}})
    assert [fault.partition(":")[0] for fault in found] == ["event.numeric"]


def test_two_streams_of_one_cluster_share_neither_topics_nor_a_group() -> None:
    one, other = (parse({"stream": name, "event": MINIMAL["event"]}) for name in ("one", "other"))
    assert (one.topics.events, one.kafka.group) == ("one.events", "driftflow-one")
    kinds = [name for name in topic_names(one) if getattr(one.topics, name) == getattr(other.topics, name)]
    assert (kinds, one.kafka.group == other.kafka.group) == ([], False)
    assert parse({"stream": "one", "event": MINIMAL["event"], "kafka": {"group": "mine"}}).kafka.group == "mine"


def test_topic_names_are_filled_in_after_the_stream() -> None:
    topics = parse(merged(MINIMAL, {"topics": {"signals": "mine"}})).topics
    assert (topics.partials, topics.signals, topics.models) == ("s.partials", "mine", "s.models")
    assert topics.dead_letters == "s.dead-letters"


def test_overrides_win_over_the_file() -> None:
    config = load(EXAMPLE, {"kafka.bootstrap": ["h:1"], "stream": "other", "windows.pane": "1d"})
    assert (config.kafka.bootstrap, config.stream, config.windows.pane) == (["h:1"], "other", 86_400_000)
    with pytest.raises(ConfigError, match=r"windows\.pain: unknown key; did you mean 'pane'"):
        load(EXAMPLE, {"windows.pain": "1d"})


ONE_FAULT = [
    ({"stream": "a b"}, "stream"),
    ({"stream": 3}, "stream"),
    ({"topics": {"events": "a b"}}, "topics.events"),
    ({"topics": {"partitions": 0}}, "topics.partitions"),
    ({"topics": 3}, "topics"),
    ({"event": {"numeric": []}}, "event.numeric"),
    ({"event": {"numeric": ["x", 3]}}, "event.numeric"),
    ({"event": {"numeric": ["x", "x"]}}, "event.numeric"),
    ({"event": {"categorical": ["x"]}}, "event.numeric"),
    ({"event": {"time_field": "x"}}, "event.time_field"),
    ({"event": {"slicings": [["at"]]}}, "event.time_field"),
    ({"event": {"id_field": "at"}}, "event.id_field"),
    ({"event": {"id_field": "x"}}, "event.id_field"),
    ({"event": {"slicings": [["a"], ["a"]]}}, "event.slicings"),
    ({"event": {"slicings": []}}, "event.slicings"),
    ({"event": {"format": "xml"}}, "event.format"),
    ({"event": {"time_format": "iso"}}, "event.time_format"),
    ({"event": {"timezone": "Mars/Olympus"}}, "event.timezone"),
    ({"event": {"max_bytes": "1 MB"}}, "event.max_bytes"),
    ({"kafka": {"bootstrap": []}}, "kafka.bootstrap"),
    ({"kafka": {"bootstrap": ["localhost"]}}, "kafka.bootstrap"),
    ({"kafka": {"bootstrap": ["localhost:99999"]}}, "kafka.bootstrap"),
    ({"topics": {"signals": "t", "models": "t"}}, "topics.models: a topic of its own, 't' is topics.signals already"),
    ({"topics": {"models": "s.signals"}}, "topics.models: a topic of its own"),
    ({"kafka": {"security_protocol": "TLS"}}, "kafka.security_protocol"),
    ({"kafka": {"session_timeout": 10}}, "kafka.session_timeout"),
    ({"windows": {"pane": "1 fortnight"}}, "windows.pane"),
    ({"windows": {"pane": "10ms", "spans": ["1d"]}}, "windows.pane"),
    ({"windows": {"pane": "0s"}}, "windows.pane"),
    ({"windows": {"spans": ["90m"]}}, "windows.spans"),
    ({"windows": {"spans": ["0h"]}}, "windows.spans"),
    ({"windows": {"spans": ["7d", "1d"]}}, "windows.spans"),
    ({"windows": {"spans": []}}, "windows.spans"),
    ({"event_rule": {"alpha": 1.5}}, "event_rule.alpha"),
    ({"trainer": {"anchor_budget": 1.5}}, "trainer.anchor_budget"),
    ({"trainer": {"anchor_nats": 0}}, "trainer.anchor_nats"),
    ({"worker": {"stop_within": "900ms"}}, "worker.stop_within"),
    ({"sink": {"kind": "csv"}}, "sink.kind"),
    ({"sink": {"timeout": "99ms"}}, "sink.timeout"),
    ({"sink": {"timeout": "2h"}}, "sink.timeout"),
    ({"model": {"flow": "glow"}}, "model.flow"),
    ({"model": {"engine": "gpu"}}, "model.engine: one of auto, fused, torchscript"),
    ({"model": {"context": ["hour", "moon"]}}, "model.context"),
    ({"model": {"context": ["hour", "hour"]}}, "model.context"),
    ({"model": {"embedding": 65}}, "model.embedding"),
    ({"model": {"maps": ["square"]}}, "model.maps"),
    ({"model": {"maps": []}}, "model.maps: each kind at most once and one at least, got none"),
    ({"model": {"maps": ["log", "log"]}}, "model.maps: each kind at most once"),
    ({"console": {"port": 70000}}, "console.port"),
    ({"kafka": {"sasl_mechanism": "GSSAPI"}}, "kafka.sasl_mechanism: one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, got"),
    ({"model": {"flow": 3}}, "model.flow: one of maf, "),
    ({"model": {"context": "hour"}}, "model.context: Expected `array`"),
    ({"model": {"distance": "z"}}, "model.distance: one of columns, mixture, base, got 'z'"),
    ({"privacy": {"enabled": True}, "model": {"flow": "mixture"}}, "model.flow: one of affine_coupling, ensemble, maf"),
]


@pytest.mark.parametrize(("change", "key"), ONE_FAULT, ids=[f"{i}-{key}" for i, (_, key) in enumerate(ONE_FAULT)])
def test_a_fault_is_reported_with_its_key(change: dict[str, Any], key: str) -> None:
    found = faults(change)
    assert len(found) == 1
    assert found[0].startswith(key)


def test_every_required_key_is_asked_for() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({})
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["stream", "event"]
    assert all("missing" in fault for fault in caught.value.faults)


def test_all_faults_at_once() -> None:
    found = faults({"stream": "", "topics": {"replicas": 1}, "event": {"max_bytes": 0}, "sink": {"pth": "x"}})
    assert [fault.split(":")[0] for fault in found] == ["stream", "topics.replicas", "event.max_bytes", "sink.pth"]
    both = faults({"sink": {"kind": "x"}, "windows": {"pane": "1ms"}, "event": {"format": "y"}})
    assert [fault.split(":")[0] for fault in both] == ["event.format", "windows.pane", "sink.kind"]


def test_the_message_lists_the_file_and_all_faults(tmp_path: Path) -> None:
    path = tmp_path / "driftflow.toml"
    path.write_text('stream = "s"\n[topics]\nevents = " "\npartitoins = 2\n[event]\ntime_field = "at"\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: 3 faults")
    assert all(fault in text for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"steam": 1}, "steam: unknown key; did you mean 'stream'?"),
        ({"topics": {"partition": 1}}, "topics.partition: unknown key; did you mean 'partitions'?"),
        ({"rules": {"r": {"detectors": ["scale"], "resolves": 0.1}}}, "'resolve'?"),
        ({"rules": {"r": {"detector": "scale"}}}, "rules.r.detector: unknown key; did you mean 'detectors'?"),
    ],
)
def test_a_near_miss_is_hinted_at(change: dict[str, Any], hint: str) -> None:
    assert any(hint in fault for fault in faults(change))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model": {"flow": "Maff"}}, "model.flow: one of maf, {}, got 'Maff'; did you mean 'maf'?"),
        ({"kafka": {"security_protocol": "ssl"}}, "kafka.security_protocol: one of {}, got 'ssl'; did you mean 'SSL'?"),
        (
            {"model": {"context": ["hour", "weekdays"]}},
            "model.context: one of {}, got 'weekdays'; did you mean 'weekday'?",
        ),
        (
            {"rules": {"r": {"detectors": ["adwim"]}}},
            "rules.r.detectors: one of {}, got 'adwim'; did you mean 'adwin'?",
        ),
    ],
)
def test_a_name_that_is_none_is_answered_with_those_there_are_and_the_nearest(
    change: dict[str, Any], fault: str
) -> None:
    (found,) = faults(change)
    start, end = fault.split("{}")
    assert found.startswith(start)
    assert found.endswith(end)


def test_a_name_that_is_none_hides_nothing_beside_it() -> None:
    found = faults(
        {
            "kafka": {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"},
            "rules": {"r": {"detectors": ["x"], "open": 1, "resolve": 2, "span": "3d", "options": {"any": 1}}},
            "model": {"context": ["moon", 3]},
        }
    )
    assert [fault.partition(":")[0].split()[0] for fault in found] == [
        "kafka.sasl_mechanism",
        "kafka.sasl_username",
        "kafka.sasl_password_env",
        "rules.r.span",
        "rules.r.resolve",
        "rules.r.detectors",
        "model.context",
        "model.context",
    ]


def test_an_override_of_what_is_no_table_is_a_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "driftflow.toml"
    path.write_text('kafka = 3\nstream = "s"\n')
    with pytest.raises(ConfigError, match=r"kafka: expected a table"):
        load(path, {"kafka.bootstrap": ["h:1"]})


def test_a_far_miss_lists_what_is_known() -> None:
    assert faults({"windows": {"qqqqqq": 1}})[0].startswith(
        "windows.qqqqqq: unknown key; known here: clock, idle_after, lateness"
    )


def test_sasl_needs_its_settings() -> None:
    found = faults({"kafka": {"security_protocol": "SASL_SSL"}})
    assert [fault.split(":")[0].split()[0] for fault in found] == [
        "kafka.sasl_mechanism",
        "kafka.sasl_username",
        "kafka.sasl_password_env",
    ]


@pytest.mark.parametrize(
    ("encoding", "ends"), [("utf-8-sig", "\n"), ("utf-16", "\n"), ("utf-8", "\r\n"), ("utf-8", "\r")]
)
def test_a_file_is_read_as_an_editor_saves_it(tmp_path: Path, encoding: str, ends: str) -> None:
    lines = ['stream = "s"', "[topics]", 'events = "e"', "[event]", 'time_field = "Zürich"', 'numeric = ["x"]', ""]
    path = tmp_path / "driftflow.toml"
    path.write_bytes(ends.join(lines).encode(encoding))
    assert load(path).event.time_field == "Zürich"


def test_a_file_in_latin_1_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "driftflow.toml"
    path.write_bytes('# a\nstream = "Zürich"\n'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"line 2 is not in UTF-8 \(byte 0xFC\): save the file as UTF-8"):
        load(path)


@pytest.mark.parametrize("content", [b"stream = ", b"\xff\xfe", b"\xff\xfea", b"a = " + b"[" * 5_000, None])
def test_an_unreadable_file_is_a_config_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "driftflow.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="not valid TOML|is not in UTF|missing" if content else "does not exist"):
        load(path)


def test_a_file_that_may_not_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}: 1 fault .*\n.*cannot be read: Is a directory"):
        load(tmp_path)


UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


@given(st.integers(0, 10_000), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " "]))
def test_durations(n: int, unit: str, gap: str) -> None:
    duration = Duration.parse(f"{n}{gap}{unit}")
    assert duration == n * UNITS[unit]
    assert duration.seconds == n * UNITS[unit] / 1000


@pytest.mark.parametrize(
    "key", ['"a.b" = 1', '[kafka]\n"a.b" = 1', '[rules."a.b"]\ndetectors = ["scale"]\nopen = "high"']
)
def test_a_key_with_a_dot_in_its_name_is_a_fault_and_nothing_hangs(key: str, tmp_path: Path) -> None:
    minimal = '[topics]\nevents = "e"\n[event]\ntime_field = "t"\nnumeric = ["x"]\n'
    path = tmp_path / "driftflow.toml"
    path.write_text(f'stream = "s"\n{key}\n{minimal}')
    with pytest.raises(ConfigError, match=r"a\.b"):
        load(path)


@pytest.mark.parametrize(("pattern", "fault"), [("%Q", "bad directive"), ("%Y-%", "stray %")])
def test_a_time_pattern_that_strptime_does_not_know_is_refused(pattern: str, fault: str) -> None:
    assert any(
        one.startswith("event.time_format") and fault in one for one in faults({"event": {"time_format": pattern}})
    )


def test_a_duration_beyond_any_time_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at most"):
        Duration.parse("99999999999999999999w")


@pytest.mark.parametrize("text", ["", "6", "h", "-6h", "6 hours", "1.5h", "6h ", "6H", 6, None, 6.0])
def test_bad_durations(text: object) -> None:
    with pytest.raises(ValueError, match='expected a duration such as "90s"'):
        Duration.parse(text)


def test_secrets_come_from_outside_and_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("DRIFTFLOW_TEST_PASSWORD", "from-the-environment")
    config = parse(
        merged(
            MINIMAL,
            {
                "root": str(tmp_path),
                "sink": {"token_file": "token"},
                "kafka": {"sasl_password_env": "DRIFTFLOW_TEST_PASSWORD"},
            },
        )
    )
    assert config.sink.token(tmp_path) == "from-a-file"
    assert config.kafka.password(tmp_path) == "from-the-environment"
    shown = f"{config!r} {config} {config.kafka!r} {config.sink} {msgspec.json.encode(config, enc_hook=int).decode()}"
    assert "DRIFTFLOW_TEST_PASSWORD" in shown
    assert "from-a-file" not in shown
    assert "from-the-environment" not in shown


def test_a_secret_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    for name, reason in (("token", "text in UTF-8"), ("nowhere", "No such file")):
        with pytest.raises(OSError, match=reason) as caught:
            SinkConfig(token_file=name).token(tmp_path)
        assert caught.value.filename == str(tmp_path / name)


def test_no_section_takes_a_secret_itself() -> None:
    assert {"kafka.sasl_password: unknown", "sink.token: unknown"} == {
        fault.split(" key")[0] for fault in faults({"kafka": {"sasl_password": "p"}, "sink": {"token": "t"}})
    }
    assert (KafkaConfig().password(), SinkConfig().token()) == ("", "")


def test_the_configuration_is_frozen_and_equal_to_itself() -> None:
    config = parse(MINIMAL)
    assert config == parse(MINIMAL)
    assert isinstance(config, Config)
    with pytest.raises(AttributeError):
        config.stream = "other"  # type: ignore[misc]


def test_the_example_is_what_toml_says() -> None:
    """No key of the example is silently dropped."""
    raw, config = tomllib.loads(EXAMPLE.read_text()), load(EXAMPLE)
    assert raw["event"]["numeric"] == config.event.numeric
    assert raw["retrain"]["cooldown"] == "60d"
    assert config.retrain.cooldown == 60 * 86_400_000
    assert raw["event_rule"]["alpha"] == config.event_rule.alpha
