"""Checks before anything starts: a missing permission otherwise shows as silence, a wrong password as no broker.

Nothing here changes the cluster: rights are read from what the broker reports, group rights from a request to remove
a member that does not exist. What a broker calls retriable is asked again for ``retrying.RETRY_S`` seconds, and
whatever else a client raises is a line too: no check ends in a traceback.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, MemberToRemove
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    NoError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    for_code,
)

from stream_app.config import Config
from stream_app.errors import DriftflowError, PreflightError
from stream_app.kafka import probes, topics
from stream_app.kafka.clients import client_settings, ssl_context
from stream_app.kafka.compression import missing_codecs
from stream_app.kafka.retrying import retried, told
from stream_app.kafka.schema_registry import Registry, RegistryError
from stream_app.kafka.types import Admin, TopicDescription

Role = Literal["worker", "trainer", "produce", "notify"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it holds, and if not what to do."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        mark, remedy = ("ok    ", "") if self.ok else ("FAILED", f"; {self.remedy}" if self.remedy else "")
        return f"{mark} {self.name}: {self.detail}{remedy}"


def require(checks: list[Check]) -> None:
    """Raise PreflightError, with one line for each failing check, unless all hold."""
    bad = [str(check) for check in checks if not check.ok]
    if bad:
        raise PreflightError("the broker cannot be used as configured\n" + "\n".join(f"  {line}" for line in bad))


def _topics_read(config: Config, role: Role) -> list[str]:
    """Topics that a role reads."""
    names = config.topics
    reads = {
        "worker": [
            *(names.events, names.partials, names.evidence, names.signals, names.models, names.actions),
            *_of_state(config),
        ],
        "trainer": [names.events, names.signals, names.models, names.actions],
        "notify": [names.signals],
    }
    return reads.get(role, [])


def _of_state(config: Config) -> list[str]:
    return [config.topics.decisions, *([config.topics.state] if config.state.store == "kafka" else [])]


def _topics_written(config: Config, role: Role) -> list[str]:
    """Topics that a role writes."""
    names = config.topics
    writes = {
        "worker": [names.partials, names.evidence, names.signals, names.dead_letters, *_of_state(config)],
        "trainer": [names.models, names.signals, names.dead_letters],
        "produce": [names.events],
        "notify": [],
    }
    return writes[role]


def _group_joined(config: Config, role: Role) -> str | None:
    """The consumer group of a role; None for one that reads nothing."""
    groups = {"worker": "", "trainer": "-trainer", "notify": "-notify"}
    return f"{config.kafka.group}{groups[role]}" if role in groups else None


def preflight(config: Config, role: Role) -> list[Check]:
    """Look at each layer in turn; a failing one ends the list, since those above it cannot be tried.

    Args:
        config: the configuration.
        role: what is about to start.
    """
    checks: list[Check] = []
    for check in (*_local_checks(config, role), *_connection_checks(config)):
        checks.append(check)
        if not check.ok:
            return checks
    try:
        admin = retried(lambda: _admin(config))
    except Exception as error:  # kafka-python raises what it likes
        return [*checks, Check("cluster", False, told(error), "check advertised.listeners of the broker")]
    try:
        return [*checks, *_permission_checks(config, role, admin)]
    finally:
        admin.close()


def _admin(config: Config) -> Admin:
    admin: Admin = KafkaAdminClient(
        **client_settings(config.kafka, config.root), bootstrap_timeout_ms=10_000, request_timeout_ms=10_000
    )
    return admin


def _local_checks(config: Config, role: Role) -> list[Check]:
    """What has to be right on this machine before a broker is asked."""
    return [] if role == "produce" else [_codec_check(role), *_registry_checks(config)]


def _registry_checks(config: Config) -> Iterator[Check]:
    """One that is away is no reason not to start: schemas are kept, and events of others wait for it."""
    if not config.schema_registry.url:
        return
    try:
        yield Check("schema registry", True, Registry(config).check())
    except RegistryError as error:
        waits = "what is not kept of it in state.dir waits for it"
        yield Check("schema registry", True, f"does not answer now, {waits}: {error}")
    except DriftflowError as error:
        yield Check("schema registry", False, str(error), "check [schema_registry]")


def _codec_check(role: Role) -> Check:
    """A producer chooses how its records are compressed: whoever reads them must be able to undo any codec."""
    missing = missing_codecs(of_worker=role == "worker")
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        detail = f"records compressed with {', '.join(missing)} could not be read"
        return Check("compression", False, detail, f"pip install {packages}, which driftflow depends on")
    return Check("compression", True, "gzip, snappy, lz4 and zstd can be read")


def _connection_checks(config: Config) -> Iterator[Check]:
    """One check a layer, each made when it is asked for: above a layer that fails nothing can be tried."""
    faults = {address: probes.tcp_fault(address) for address in config.kafka.bootstrap}
    live = [address for address, fault in faults.items() if fault is None]
    if not live:
        yield _failed("reachable", next(fault for fault in faults.values() if fault))
        return
    yield Check("reachable", True, live[0])
    yield _answered("TLS", lambda: _tls_check(live[0], config))
    yield _answered("login", lambda: _login_check(live[0], config))


def _tls_check(address: str, config: Config) -> Check:
    try:
        context = ssl_context(config.kafka, config.root)
    except OSError as error:
        remedy = "check kafka.ssl_cafile and ssl_certfile"
        return Check("TLS", False, f"certificates cannot be loaded: {error}", remedy)
    fault = probes.tls_fault(address, context) if context else probes.plain_fault(address)
    return _failed("TLS", fault) if fault else Check("TLS", True, "verified" if context else "none, as configured")


def _login_check(address: str, config: Config) -> Check:
    kafka = config.kafka
    try:
        password = kafka.password(config.root)
    except OSError as error:
        return Check("login", False, f"the password cannot be read: {error}", "check kafka.sasl_password_file")
    fault = probes.login_fault(address, kafka, password, ssl_context(kafka, config.root))
    return _failed("login", fault) if fault else Check("login", True, kafka.sasl_username or "none needed")


def _failed(name: str, fault: probes.Fault) -> Check:
    return Check(name, False, *fault)


def _permission_checks(config: Config, role: Role, admin: Admin) -> Iterator[Check]:
    names = sorted({*_topics_read(config, role), *_topics_written(config, role)})
    try:
        described = topics.describe(admin, sorted({*names, config.topics.partials}))  # sizes are counted from that one
    except Exception as error:
        yield _unanswered("topics", error)
        return
    if role != "notify":  # it makes none, and waits for those that the others make
        yield _answered("topics", lambda: _topics_check(config, names, described, admin))
    for name in _topics_read(config, role):
        yield _right_check("read", "READ", described[name])
    group = _group_joined(config, role)
    if group is not None:
        yield _answered(f"may join group {group}", lambda: _group_check(group, config))
    for name in _topics_written(config, role):
        yield _right_check("write", "WRITE", described[name])
    if role == "worker":
        for wanted in _wanted(config):
            yield _answered(
                wanted.check, functools.partial(_kept_check, config, wanted, described[wanted.topic], admin)
            )


def _answered(name: str, look: Callable[[], Check]) -> Check:
    """The check; a failed one of the same name where the broker answers with an error, or is not ready for too long."""
    try:
        return retried(look)
    except Exception as error:  # clients raise RuntimeError, ValueError and AssertionError too
        return _unanswered(name, error)


def _unanswered(name: str, error: Exception) -> Check:
    return Check(name, False, f"the broker does not say: {told(error)}", "see the broker's log, and try again")


def _topics_check(config: Config, names: list[str], described: dict[str, TopicDescription], admin: Admin) -> Check:
    hidden = [name for name in names if _is_refused(described[name])]
    if hidden:
        detail = f"missing, or hidden from this user: {', '.join(hidden)}"
        return Check("topics", False, detail, "create them, or allow DESCRIBE or CREATE on them")
    have = {name: len(topic["partitions"]) for name, topic in described.items() if _error(topic) is NoError}
    for name in names:
        if name not in have and not topics.is_missing(described[name]):
            detail = f"{name} cannot be described: {_error(described[name]).__name__}"
            return Check("topics", False, detail, "see the broker's log")
    sizes = topics.topic_sizes(config, *topics.counted(config, have))
    missing = {name: sizes[name] for name in names if name not in have}
    short = {name: sizes[name] for name in names if have.get(name, sizes[name]) < sizes[name]}
    plans = [_creation(config, missing, admin)] if missing else []
    plans += [_enlargement(config, short, have, admin)] if short else []
    failed = next((plan for plan in plans if not plan.ok), None)
    return failed or Check("topics", True, "; ".join(plan.detail for plan in plans) or ", ".join(names))


def _creation(config: Config, missing: dict[str, int], admin: Admin) -> Check:
    refused = topics.create(config, admin, missing, validate_only=True) if _keeps_rights(admin) else {}
    if refused:
        reasons = ", ".join(f"{name}: {reason}" for name, reason in refused.items())
        detail = f"missing: {', '.join(missing)}; may not be created: {reasons}"
        return Check("topics", False, detail, "create them, or allow CREATE")
    return Check("topics", True, f"will be created: {', '.join(missing)}")


def _enlargement(config: Config, short: dict[str, int], have: dict[str, int], admin: Admin) -> Check:
    refused = topics.left_alone(config, short)
    if _keeps_rights(admin):
        ours = {name: size for name, size in short.items() if name not in refused}
        refused |= topics.add_partitions(admin, ours, validate_only=True)
    if refused:
        reasons = ", ".join(f"{name} has {have[name]} of {short[name]} ({why})" for name, why in refused.items())
        remedy = f"add some ({topics.commands(config, {name: short[name] for name in refused})}), or allow ALTER"
        return Check("topics", False, f"too few partitions: {reasons}", remedy)
    sizes = ", ".join(f"{name} from {have[name]} to {size} partitions" for name, size in short.items())
    return Check("topics", True, f"will be enlarged: {sizes}")


def _keeps_rights(admin: Admin) -> bool:
    # A broker that reports no rights has none to check; Tansu is one, and it *creates* what it is asked to validate.
    return admin.describe_cluster().get("authorized_operations") is not None


def _error(topic: TopicDescription) -> type[KafkaError]:
    kind: type[KafkaError] = for_code(topic["error_code"])
    return kind


def _is_refused(topic: TopicDescription) -> bool:
    return _error(topic) is TopicAuthorizationFailedError


def _right_check(verb: str, right: str, topic: TopicDescription) -> Check:
    name, rights = f"may {verb} {topic['name']}", topic["authorized_operations"]
    if _is_refused(topic) or (rights is not None and right not in rights):
        detail, remedy = f"no {right} right on topic {topic['name']}", f"allow {right} on it for this user"
        return Check(name, False, detail, remedy)
    if topics.is_missing(topic):
        return Check(name, True, "not known before it is created")
    return Check(name, True, right if rights is not None else "no rights are kept here")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How the broker has to keep a topic: the check, its settings, and what happens with others."""

    check: str
    topic: str
    settings: dict[str, str]
    else_it: str


def _wanted(config: Config) -> list[_Wanted]:
    names, compact = config.topics, {"cleanup.policy": "compact"}
    state = _Wanted("compacts the state", names.state, compact, "deletes states, or keeps all that ever were")
    return [
        _Wanted("keeps actions", names.actions, topics.KEPT, "deletes what people have said"),
        _Wanted("keeps decisions", names.decisions, topics.KEPT, "deletes decisions"),
        *([state] if config.state.store == "kafka" else []),
    ]


def _kept_check(config: Config, wanted: _Wanted, topic: TopicDescription, admin: Admin) -> Check:
    """Whether the broker keeps a topic as it should, as far as it tells: one that something else made has the broker's
    own settings."""
    name, settings = wanted.topic, wanted.settings
    if topics.is_missing(topic):
        return Check(wanted.check, True, "will be created so")
    if "DESCRIBE_CONFIGS" not in (topic["authorized_operations"] or ()):
        return Check(wanted.check, True, f"not known: the broker does not tell this user the settings of {name}")
    asked = ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(settings))
    told = admin.describe_configs([asked], config_filter="all")["topic"][name]
    wrong = {key: told[key]["value"] for key, value in settings.items() if told.get(key, {}).get("value") != value}
    if not wrong:
        return Check(wanted.check, True, "for good" if settings is topics.KEPT else "as it should")
    has, to_be = (",".join(f"{key}={value}" for key, value in each.items()) for each in (wrong, settings))
    tool = f"kafka-configs.sh --bootstrap-server {config.kafka.bootstrap[0]} --alter --entity-type topics"
    remedy = f"keep them: {tool} --entity-name {name} --add-config {to_be}"
    return Check(wanted.check, False, f"{name} has {has}, so that the broker {wanted.else_it}", remedy)


def _group_check(group: str, config: Config) -> Check:
    name = f"may join group {group}"
    # LeaveGroup needs the same READ right as JoinGroup, and for a member that does not exist it changes nothing.
    probe = MemberToRemove(member_id="driftflow-check-no-such-member")
    admin = _admin(config)  # of its own each time: a client never asks again which broker coordinates a group
    try:
        _require_no_such_member(admin.remove_group_members(group, [probe]))
    except AuthorizationError:
        return Check(name, False, f"no READ right on group {group}", f"allow READ on group {group} for this user")
    finally:
        admin.close()
    return Check(name, True, "READ")


def _require_no_such_member(answers: Mapping[object, type[KafkaError]]) -> None:
    """Raise what the answer holds for a member: a broker that is not ready may say so there, and not of the whole."""
    for member, error in answers.items():
        if error not in (NoError, UnknownMemberIdError):
            raise error(f"member {member}")
