"""The Influx sink on InfluxDB 2 itself, in a container: where a Docker engine answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from stream_app.sinks import make_sink
from stream_app.sinks.checks import check_sink
from tests.conftest import cannot_start
from tests.sinks.test_stores import config_of

TOKEN, BUCKET, ORG = "a-token-for-tests", "driftflow", "driftflow"
COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


@pytest.fixture(scope="module")
def influxdb2() -> Iterator[str]:
    """Address of the server that docker-compose.yml names."""
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        pytest.skip("there is no Docker engine")
    import docker
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy

    try:
        docker.from_env().ping()
    except docker.errors.DockerException as error:
        cannot_start(f"the Docker engine does not answer: {error}")
    setup = {
        "MODE": "setup",
        "USERNAME": "driftflow",
        "PASSWORD": "a-password-for-tests",
        "ORG": ORG,
        "BUCKET": BUCKET,
        "ADMIN_TOKEN": TOKEN,
        "RETENTION": "0",
    }
    container = DockerContainer(yaml.safe_load(COMPOSE.read_text())["services"]["influxdb"]["image"])
    for name, value in setup.items():
        container = container.with_env(f"DOCKER_INFLUXDB_INIT_{name}", value)
    container = container.with_exposed_ports(8086).waiting_for(HttpWaitStrategy(8086, "/health").for_status_code(200))
    with container as server:
        yield f"http://{server.get_container_host_ip()}:{server.get_exposed_port(8086)}"


@pytest.mark.docker
def test_influx_write_api_on_influxdb_2(tmp_path: Path, influxdb2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from influxdb_client import InfluxDBClient

    monkeypatch.setenv("INFLUX_TOKEN_OF_TESTS", TOKEN)
    sink = make_sink(
        config_of(tmp_path, kind="influx", url=influxdb2, org=ORG, bucket=BUCKET, token_env="INFLUX_TOKEN_OF_TESTS")
    )
    query = (
        f'from(bucket: "{BUCKET}") |> range(start: 0, stop: 2100-01-01T00:00:00Z) '
        '|> filter(fn: (r) => r._measurement == "windows" and r._field == "x")'
    )

    def read() -> list[tuple[str, int, float]]:
        with InfluxDBClient(influxdb2, TOKEN, org=ORG) as client:
            records = [record for table in client.query_api().query(query) for record in table.records]
        return sorted((r["slice"], round(r.get_time().timestamp() * 1000), float(r.get_value())) for r in records)

    check_sink(sink, read)
