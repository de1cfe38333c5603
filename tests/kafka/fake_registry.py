"""A small schema registry that speaks as much of Confluent's API as is asked, and misbehaves where it is told to."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


class FakeRegistry:
    """What it has, and how it behaves.

    Attributes:
        schemas: id to what is answered.
        subjects: subject and version to the same.
        login: the header that it wants, "" for none.
        mode: ``well``, ``500``, ``404`` (as a server that is none), ``nonsense``, or ``hang``.
        asked: paths that were asked for.
        registered: subject to its versions, each an id; what is new gets the next one, and ids count from 1.
        refuses: subject to the status that registering it has.
        released: let those that hang go on.
    """

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[str, dict[str, Any]] = {}
        self.login, self.mode, self.url = "", "well", ""
        self.asked: list[str] = []
        self.registered: dict[str, list[int]] = {}
        self.refuses: dict[str, int] = {}
        self.released = threading.Event()

    def add(self, schema_id: int, schema: Any, **more: Any) -> None:
        """A schema of Avro."""
        self.schemas[schema_id] = {"schema": json.dumps(schema), **more}

    def answer(self, path: str, login: str, posted: bytes | None = None) -> tuple[int, bytes]:
        """Status and body."""
        path = path.partition("?")[0]
        self.asked.append(path)
        if self.mode == "hang":
            self.released.wait(60)
        if self.mode in ("500", "404"):
            return int(self.mode), b"<html>no</html>"
        if self.mode == "nonsense":
            return 200, b"<html>"
        if self.login and login != self.login:
            return 401, b'{"error_code": 401, "message": "Unauthorized"}'
        if path == "/schemas/types":
            return 200, b'["JSON", "PROTOBUF", "AVRO"]'
        if posted is not None:
            return self._enter(unquote(path.split("/")[2]), json.loads(posted))
        found = self.subjects.get(path)
        if path.startswith("/schemas/ids/"):
            found = self.schemas.get(int(path.rpartition("/")[2]))
        return (200, json.dumps(found).encode()) if found else (404, b'{"error_code": 40403, "message": "not found"}')

    def _enter(self, subject: str, schema: dict[str, Any]) -> tuple[int, bytes]:
        """One text has one id, whatever its subjects."""
        if subject in self.refuses:
            return self.refuses[subject], b'{"error_code": 409, "message": "incompatible"}'
        known = next((one for one, entry in self.schemas.items() if entry == schema), len(self.schemas) + 1)
        self.schemas[known] = schema
        versions = self.registered.setdefault(subject, [])
        versions += [] if known in versions else [known]
        return 200, json.dumps({"id": known}).encode()


@contextmanager
def registry_runs(certificate: Path | None = None) -> Iterator[FakeRegistry]:
    """A registry at an address of this machine; by TLS where there is a file with its key and certificate."""
    fake = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, posted: bytes | None = None) -> None:
            status, body = fake.answer(self.path, self.headers.get("Authorization", ""), posted)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:  # whoever asked has gone
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
