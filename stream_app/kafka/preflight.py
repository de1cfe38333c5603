"""Checks before anything starts: a missing permission otherwise shows as silence, a wrong password as no broker.

Nothing here changes the cluster: rights are read from what the broker reports, group rights from a request to remove
a member that does not exist.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kafka.admin import KafkaAdminClient, MemberToRemove
from kafka.admin._topics import NewTopic
from kafka.errors import AuthorizationError, CoordinatorNotAvailableError, KafkaError, for_code

from stream_app.config import Config
from stream_app.errors import PreflightError
from stream_app.kafka import probes
from stream_app.kafka.clients import client_settings, ssl_context
from stream_app.kafka.topics import topic_sizes

Role = Literal["worker", "trainer", "produce"]

_COORDINATOR_S = 15.0
_OK, _UNKNOWN_TOPIC, _TOPIC_REFUSED = 0, 3, 29


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


def topics_read(config: Config, role: Role) -> list[str]:
    """Topics that a role reads."""
    topics = config.topics
    reads = {"worker": [topics.events, topics.partials, topics.models], "trainer": [topics.events, topics.signals]}
    return reads.get(role, [])


def topics_written(config: Config, role: Role) -> list[str]:
    """Topics that a role writes."""
    topics = config.topics
    writes = {
        "worker": [topics.partials, topics.signals, topics.dead_letters],
        "trainer": [topics.models, topics.signals],
        "produce": [topics.events],
    }
    return writes[role]


def preflight(config: Config, role: Role, group: str | None = None) -> list[Check]:
    """Look at each layer in turn; a failing one ends the list, since those above it cannot be tried.

    Args:
        config: the configuration.
        role: what is about to start.
        group: consumer group to join (default: ``kafka.group`` for a worker, none otherwise).
    """
    checks: list[Check] = []
    for check in _connection_checks(config):
        checks.append(check)
        if not check.ok:
            return checks
    try:
        admin = KafkaAdminClient(
            **client_settings(config.kafka, config.root), bootstrap_timeout_ms=10_000, request_timeout_ms=10_000
        )
    except KafkaError as error:
        return [*checks, Check("cluster", False, str(error), "check advertised.listeners of the broker")]
    try:
        group = group or (config.kafka.group if role == "worker" else None)
        return [*checks, *_permission_checks(config, role, group, admin)]
    except KafkaError as error:
        return [*checks, Check("cluster", False, str(error), "see the broker's log")]
    finally:
        admin.close()


def _connection_checks(config: Config) -> Iterator[Check]:
    kafka = config.kafka
    faults = {address: probes.tcp_fault(address) for address in kafka.bootstrap}
    live = [address for address, fault in faults.items() if fault is None]
    if not live:
        yield _failed("reachable", next(fault for fault in faults.values() if fault))
        return
    address = live[0]
    yield Check("reachable", True, address)
    try:
        context = ssl_context(kafka, config.root)
    except (OSError, ssl.SSLError) as error:
        yield Check("TLS", False, f"certificates cannot be loaded: {error}", "check kafka.ssl_cafile and ssl_certfile")
        return
    fault = probes.tls_fault(address, context) if context else probes.plain_fault(address)
    yield _failed("TLS", fault) if fault else Check("TLS", True, "verified" if context else "none, as configured")
    try:
        word = kafka.password(config.root)
    except OSError as error:
        yield Check("login", False, f"the password cannot be read: {error}", "check kafka.sasl_password_file")
        return
    fault = probes.login_fault(address, kafka, word, context)
    yield _failed("login", fault) if fault else Check("login", True, kafka.sasl_username or "none needed")


def _failed(name: str, fault: probes.Fault) -> Check:
    return Check(name, False, *fault)


def _permission_checks(config: Config, role: Role, group: str | None, admin: Any) -> Iterator[Check]:
    names = sorted({*topics_read(config, role), *topics_written(config, role)})
    found = {topic["name"]: topic for topic in admin.describe_topics(names)}
    yield _topics_check(config, names, found, admin)
    for name in topics_read(config, role):
        yield _right_check("read", "READ", name, found[name])
    if group:
        yield _group_check(group, admin)
    for name in topics_written(config, role):
        yield _right_check("write", "WRITE", name, found[name])


def _topics_check(config: Config, names: list[str], found: dict[str, Any], admin: Any) -> Check:
    hidden = [name for name in names if found[name]["error_code"] == _TOPIC_REFUSED]
    if hidden:
        return Check(
            "topics",
            False,
            f"missing, or hidden from this user: {', '.join(hidden)}",
            "create them, or allow DESCRIBE or CREATE on them",
        )
    events = found.get(config.topics.events, {}).get("partitions") or ()
    sizes = topic_sizes(config, len(events) or config.topics.partitions)
    for name in names:
        have = len(found[name]["partitions"])
        if found[name]["error_code"] == _OK and have < sizes[name]:
            return Check("topics", False, f"{name} has {have} partitions, {sizes[name]} are needed", "add partitions")
    missing = {name: sizes[name] for name in names if found[name]["error_code"] == _UNKNOWN_TOPIC}
    if not missing:
        return Check("topics", True, ", ".join(names))
    refusal = _create_refusal(config, missing, admin)
    if refusal:
        return Check(
            "topics",
            False,
            f"missing: {', '.join(missing)}; may not be created: {refusal}",
            "create them, or allow CREATE",
        )
    return Check("topics", True, f"will be created: {', '.join(missing)}")


def _create_refusal(config: Config, missing: dict[str, int], admin: Any) -> str:
    # A broker that reports no rights has none to check; Tansu is one, and it *creates* what it is asked to validate.
    if admin.describe_cluster().get("authorized_operations") is None:
        return ""
    new = [NewTopic(name, size, config.topics.replication) for name, size in missing.items()]
    answer = admin.create_topics(new, validate_only=True, raise_errors=False)
    for topic in answer["topics"]:
        if topic["error_code"] != _OK:
            return f"{topic['name']}: {topic['error_message'] or for_code(topic['error_code']).__name__}"
    return ""


def _right_check(verb: str, right: str, name: str, topic: dict[str, Any]) -> Check:
    rights = topic["authorized_operations"]
    if topic["error_code"] == _TOPIC_REFUSED or (rights is not None and right not in rights):
        return Check(
            f"may {verb} {name}",
            False,
            f"no {right} right on topic {name}",
            f"allow {right} on topic {name} for this user",
        )
    if topic["error_code"] == _UNKNOWN_TOPIC:
        return Check(f"may {verb} {name}", True, "not known before it is created")
    return Check(f"may {verb} {name}", True, right if rights is not None else "no rights are kept here")


def _group_check(group: str, admin: Any) -> Check:
    name = f"may join group {group}"
    # LeaveGroup needs the same READ right as JoinGroup, and for a member that does not exist it changes nothing.
    probe = MemberToRemove(member_id="driftflow-check-no-such-member")
    try:
        _patiently(lambda: admin.remove_group_members(group, [probe]))
    except AuthorizationError:
        return Check(name, False, f"no READ right on group {group}", f"allow READ on group {group} for this user")
    return Check(name, True, "READ")


def _patiently(ask: Callable[[], Any]) -> None:
    """The first group of a new cluster waits until the broker has made its offsets topic."""
    deadline = time.monotonic() + _COORDINATOR_S
    while True:
        try:
            ask()
            return
        except CoordinatorNotAvailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
