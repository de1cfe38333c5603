"""Brokers that tests start: the embedded one, and Apache Kafka from a plain distribution (``KAFKA_HOME``)."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from stream_app.kafka.embedded import free_port
from stream_app.kafka.probes import address_of, speaks_kafka

EMBEDDED = pytest.mark.parametrize("broker", ["tansu"], indirect=True)
"""On the embedded broker alone: what is tested does not hang on which broker it is, and takes long."""
APACHE = pytest.mark.parametrize("broker", ["kafka"], indirect=True)
"""On Apache Kafka alone, likewise."""

_COMMON = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listener}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listener}://127.0.0.1:{port}
listener.security.protocol.map={listener}:{listener},CONTROLLER:PLAINTEXT
inter.broker.listener.name={listener}
log.dirs={folder}/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
auto.create.topics.enable=false
message.max.bytes=16777216
"""

_SECURE = """
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \
required username="admin" password="admin-secret";
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.client.auth=none
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
"""

USERS = {"admin": "admin-secret", "worker": "worker-secret"}


def speaks_tls(bootstrap: str) -> bool:
    """Whether a TLS handshake succeeds at ``host:port``, whoever signed the certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(address_of(bootstrap), timeout=2.0) as link, context.wrap_socket(link):
            return True
    except OSError:
        return False


class ApacheKafka:
    """One KRaft node with its log in ``folder``. Stopped by its process id."""

    def __init__(self, home: Path, folder: Path, secure: bool = False) -> None:
        self.home, self.folder, self.secure = home, folder, secure
        self.port, self.controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 60.0) -> ApacheKafka:
        """Format its storage at the first start, run it and wait until it answers."""
        properties = self.folder / "node.properties"
        if not properties.exists():
            properties.write_text(self._properties())
            self._format(properties)
        with (self.folder / "kafka.out").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.home / "bin" / "kafka-server-start.sh"), str(properties)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("Apache Kafka did not start: " + (self.folder / "kafka.out").read_text()[-2000:])
            time.sleep(0.1)
        return self

    def _is_ready(self) -> bool:
        return speaks_tls(self.bootstrap) if self.secure else speaks_kafka(self.bootstrap)

    def stop(self, hard: bool = False) -> None:
        """Stop it cleanly, or with SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return
        # Its start script is the leader of a session of its own: the group is this node and nothing else.
        os.killpg(process.pid, signal.SIGKILL if hard else signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _properties(self) -> str:
        listener = "SASL_SSL" if self.secure else "PLAINTEXT"
        text = _COMMON + (_SECURE if self.secure else "")
        return text.format(listener=listener, port=self.port, controller=self.controller, folder=self.folder)

    def _format(self, properties: Path) -> None:
        tool = str(self.home / "bin" / "kafka-storage.sh")
        node_id = self._run(tool, "random-uuid").strip().splitlines()[-1]
        users = [f"SCRAM-SHA-512=[name={name},password={word}]" for name, word in USERS.items() if self.secure]
        options = [option for user in users for option in ("--add-scram", user)]
        self._run(tool, "format", "-t", node_id, "-c", str(properties), *options)

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(), timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "KAFKA_HEAP_OPTS": "-Xmx384m -Xms128m", "LOG_DIR": str(self.folder)}
