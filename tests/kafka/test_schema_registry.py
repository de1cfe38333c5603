"""The schema registry: asked once for each schema, in time whatever it does, and not at all for what is kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from stream_app.config import Config, parse
from stream_app.errors import DriftflowError
from stream_app.kafka import preflight, schema_cache
from stream_app.kafka.schema_registry import Registry, RegistryError, registry_of
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.formats.schemas import Schemas
from stream_app.stages.score.rejects import Reject
from stream_app.stages.score.timing import Held
from tests.certificates import write_certificates
from tests.kafka.fake_registry import FakeRegistry, registry_runs
from tests.stages.score.formats.making import EVENT, GOOD, PLAIN, T0, as_plain, framed, of_avro, record

BODY = of_avro(PLAIN, {**as_plain(GOOD), "station": "12"})


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with registry_runs() as running:
        running.add(7, PLAIN)
        yield running


def stream(fake: FakeRegistry, root: Path, **registry: Any) -> Config:
    section = {"url": fake.url, "timeout": "2s", **registry}
    event = {**EVENT, "format": "avro"}
    return parse(
        {"stream": "s", "topics": {"events": "e"}, "event": event, "schema_registry": section, "root": str(root)}
    )


def decode(config: Config, registry: Registry, *bodies: bytes | None) -> tuple[EventBatch, list[Reject]]:
    decoder = Decoder(config)
    registry.supply(decoder.schemas, bodies)
    return decoder.decode(RawBatch("e", 0, np.arange(len(bodies)), list(bodies)))


def test_schemas_are_fetched_once_and_kept_over_a_restart(fake: FakeRegistry, tmp_path: Path) -> None:
    config = stream(fake, tmp_path)
    events, rejects = decode(config, Registry(config), framed(7, BODY), framed(7, BODY), None, b"")
    assert (len(events), [reject.reason for reject in rejects]) == (2, ["tombstone", "schema_registry"])
    assert fake.asked == ["/schemas/ids/7"]
    fake.mode = "500"
    events, _ = decode(config, Registry(config), framed(7, BODY))
    assert (len(events), fake.asked) == (1, ["/schemas/ids/7"])


@pytest.mark.parametrize("hostile", ["one is large", "all are large", "they are many"])
def test_a_schema_that_is_too_large_with_all_that_it_names_is_an_answer_and_nobody_waits_for_another(
    hostile: str, fake: FakeRegistry, tmp_path: Path
) -> None:
    n, pad = {"one is large": (0, 600_000), "all are large": (3, 100_000), "they are many": (150, 0)}[hostile]
    names = [{"name": f"r{i}", "subject": f"s{i}", "version": 1} for i in range(n)]
    for i in range(n):
        part = {"type": "fixed", "name": f"r{i}", "size": 1, "doc": "x" * pad}
        fake.subjects[f"/subjects/s{i}/versions/1"] = {"schema": json.dumps(part)}
    fake.add(9, {"type": "string", "doc": "x" * (0 if n else pad)}, references=names)
    _, (reject,) = decode(stream(fake, tmp_path), Registry(stream(fake, tmp_path)), framed(9, BODY))
    assert reject.reason == "unknown_schema"
    says = {"one is large": "is larger than", "all are large": "characters", "they are many": "more than 100 others"}
    assert says[hostile] in reject.detail


def test_an_id_that_is_not_known_makes_dead_letters_and_is_asked_for_again_later(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    now_s, config = [1_000.0], stream(fake, tmp_path)
    registry, decoder = Registry(config), Decoder(config)
    registry.cache = schema_cache.SchemaCache(config, lambda: now_s[0])
    registry.supply(decoder.schemas, [framed(9, BODY)])
    _, (reject,) = decoder.decode(RawBatch("e", 0, np.arange(1), [framed(9, BODY)]))
    assert reject.reason == "unknown_schema"
    assert reject.detail.startswith(f"schema id 9 is not known to {fake.url}: ")
    fake.add(9, PLAIN)
    later = schema_cache.SchemaCache(config, lambda: now_s[0])  # a restart believes it too
    assert later.kept(Schemas(config), [9]) == []
    registry.supply(decoder.schemas, [framed(9, BODY)])
    assert fake.asked == ["/schemas/ids/9"]
    now_s[0] += schema_cache.UNKNOWN_S + 1
    registry.supply(decoder.schemas, [framed(9, BODY)])
    assert len(decoder.decode(RawBatch("e", 0, np.arange(1), [framed(9, BODY)]))[0]) == 1


def test_ids_made_up_are_not_asked_for_without_end(
    fake: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_cache, "_UNKNOWN_MAX", 3)
    now_s, config = [1_000.0], stream(fake, tmp_path)
    registry, decoder = Registry(config), Decoder(config)
    registry.cache = schema_cache.SchemaCache(config, lambda: now_s[0])
    registry.supply(decoder.schemas, [framed(n, BODY) for n in range(100, 103)])
    good = RawBatch("e", 0, np.arange(1), [framed(7, BODY)])
    registry.supply(decoder.schemas, [framed(200, BODY), *good.values])
    assert len(fake.asked) == 3
    assert "too many ids before it are unknown" in decoder.decode(good)[1][0].detail
    now_s[0] += schema_cache.UNKNOWN_S + 1  # who makes them up does not keep a new schema out for good
    registry.supply(decoder.schemas, good.values)
    assert len(decoder.decode(good)[0]) == 1


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("500", "answers 500, it has a problem"),
        ("404", "answers 404, there is no registry at this address: see schema_registry.url"),
        ("nonsense", "gives an answer that makes no sense"),
    ],
)
def test_a_registry_that_fails_is_no_answer(fake: FakeRegistry, tmp_path: Path, mode: str, says: str) -> None:
    fake.mode, config = mode, stream(fake, tmp_path)
    with pytest.raises(RegistryError, match=says):
        Registry(config).supply(Schemas(config), [framed(7, BODY)])
    assert not (tmp_path / "state" / "schemas").exists()


def test_a_registry_that_hangs_is_given_up_in_time(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.mode = "hang"
    registry = Registry(stream(fake, tmp_path, timeout="100ms"))
    with pytest.raises(RegistryError, match=r"within 0\.1 s in all|cannot be reached"):
        registry.check()
    fake.mode = "well"
    fake.released.set()
    while registry._pending is not None and not registry._pending.done():
        registry._pending.exception()
    assert "AVRO" in registry.check()


def test_a_question_that_nobody_waits_for_hangs_all_the_same(fake: FakeRegistry, tmp_path: Path) -> None:
    """One thread at most: a worker that gives a question up begins no other beside it."""
    fake.mode = "hang"
    registry = Registry(stream(fake, tmp_path, timeout="1m"))
    first = registry.ask(7)
    assert not first.cancel()
    with pytest.raises(RegistryError, match="an earlier question still hangs"):
        registry.ask(7)
    fake.released.set()
    assert len(first.result(60)) == 1
    assert len(registry.wait(registry.ask(7))) == 1


def test_one_that_is_away_is_named(tmp_path: Path) -> None:
    with registry_runs() as gone:
        pass
    with pytest.raises(RegistryError, match=f"{gone.url} cannot be reached"):
        Registry(stream(gone, tmp_path)).check()


def test_users_and_tokens(fake: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "köln")
    (tmp_path / "token").write_text("abc\n")
    with_user = stream(fake, tmp_path, username="ann", password_env="REGISTRY_PASSWORD")
    with_token = stream(fake, tmp_path, token_file="token")
    fake.login = "Basic " + base64.b64encode("ann:köln".encode()).decode()
    assert "AVRO" in Registry(with_user).check()
    with pytest.raises(RegistryError, match="answers 401, the user or the token is wrong or missing"):
        Registry(with_token).check()
    fake.login = "Bearer abc"
    assert "AVRO" in Registry(with_token).check()
    with pytest.raises(DriftflowError, match=r"a secret of \[schema_registry\] cannot be read"):
        Registry(stream(fake, tmp_path, token_file="missing"))
    (tmp_path / "two").write_text("abc\nsecret")
    with pytest.raises(DriftflowError, match="holds a blank, a line break") as caught:
        Registry(stream(fake, tmp_path, token_file="two"))
    assert "secret" not in str(caught.value)
    with pytest.raises(DriftflowError, match="holds no certificate"):
        Registry(stream(fake, tmp_path, cafile="token"))


def test_its_certificate_is_checked(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    with registry_runs(tmp_path / "server.pem") as fake:
        assert "AVRO" in Registry(stream(fake, tmp_path, cafile="ca.pem")).check()
        with pytest.raises(RegistryError, match=r"cannot be reached: .*certificate verify failed"):
            Registry(stream(fake, tmp_path, cafile="other-ca.pem")).check()


def test_types_that_another_schema_has(fake: FakeRegistry, tmp_path: Path) -> None:
    place = record(("station", "string"), name="io.Place")
    outer = record(("at", "long"), ("TEMP", "double"), ("where", "io.Place"), name="io.Event")
    reference = {"name": "io.Place", "subject": "place/value", "version": 2}
    fake.add(8, outer, references=[reference])
    fake.subjects["/subjects/place%2Fvalue/versions/2"] = {"schema": json.dumps(place)}
    made = stream(fake, tmp_path)
    config = replace(made, event=replace(made.event, slicings=[["where.station"], []]))
    whole = {**outer, "fields": [*outer["fields"][:2], {"name": "where", "type": place}]}
    body = of_avro(whole, {"at": T0, "TEMP": 1.0, "where": {"station": "Dongsi"}})
    for _ in range(2):
        events, rejects = decode(config, Registry(config), framed(8, body))
        assert not rejects
        assert events.slices[0].objects().tolist() == ["Dongsi"]
    assert len(fake.asked) == 2


def test_schemas_of_no_use_are_told_with_their_id(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.add(1, {"type": "record", "name": "N", "fields": [{"name": "next", "type": "N"}]})
    fake.schemas[2] = {"schema": "message M {}", "schemaType": "PROTOBUF"}
    fake.add(3, "string")
    config = stream(fake, tmp_path)
    _, rejects = decode(config, Registry(config), *(framed(n, BODY) for n in (1, 2, 3)))
    assert "schema id 1 of" in rejects[0].detail
    assert "holds itself without an end" in rejects[0].detail
    assert f"schema id 2 of {fake.url} is PROTOBUF and no Avro: see event.format" in rejects[1].detail
    assert rejects[2].reason in ("not_avro", "wrong_type")


def test_a_cache_of_another_registry_or_a_damaged_one_does_not_count(fake: FakeRegistry, tmp_path: Path) -> None:
    config = stream(fake, tmp_path)
    decode(config, Registry(config), framed(7, BODY))
    (tmp_path / "state/schemas/7.json").write_bytes(b"{")
    decode(config, Registry(config), framed(7, BODY))
    with registry_runs() as other:
        moved = stream(other, tmp_path)
        _, (reject,) = decode(moved, Registry(moved), framed(7, BODY))
        assert f"not known to {other.url}" in reject.detail
    assert fake.asked == ["/schemas/ids/7"] * 2


def test_a_stream_without_one_asks_nobody() -> None:
    assert registry_of(parse({"stream": "s", "topics": {"events": "e"}, "event": EVENT})) is None


def test_preflight_says_whether_it_answers(fake: FakeRegistry, tmp_path: Path) -> None:
    (fine,) = preflight._registry_checks(stream(fake, tmp_path))
    assert (fine.ok, fine.detail) == (True, f"{fake.url} has JSON, PROTOBUF, AVRO")
    fake.mode = "500"
    (away,) = preflight._registry_checks(stream(fake, tmp_path))
    assert away.ok
    assert "does not answer now, what is not kept of it in state.dir waits for it" in away.detail
    (bad,) = preflight._registry_checks(stream(fake, tmp_path, token_file="missing"))
    assert not bad.ok


def test_events_that_are_held_need_their_schemas_too(fake: FakeRegistry, tmp_path: Path) -> None:
    """After a restart they are decoded again, with a batch that may name another schema."""
    config, raw = stream(fake, tmp_path), RawBatch("e", 0, np.arange(1), [framed(8, BODY)])
    made = Pipeline(config, 1)
    made.open_score(0)
    assert made.to_be_decoded(raw) is raw.values
    made.score_states[0].timing.held.append(Held(0, framed(7, BODY), T0, "7", "12"))
    assert made.schemas.missing(made.to_be_decoded(raw)) == [7, 8]
