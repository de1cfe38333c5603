"""Servers on real sockets that take their time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

Behaviour = Callable[[socket.socket, threading.Event], None]
"""What becomes of a connection; returns when the event is set."""


class SlowServer:
    """Accepts connections and treats each as it is told, in a thread of its own.

    Attributes:
        connections: how many it has accepted.
        address: ``host:port``.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.connections = 0
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads[0].start()

    def close(self) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, link: socket.socket) -> None:
        with link:
            try:
                self._behaviour(link, self._closing)
            except OSError:
                return  # the other side has had enough


def silent(link: socket.socket, closing: threading.Event) -> None:
    """Reads nothing and says nothing."""
    closing.wait()


def deaf(link: socket.socket, closing: threading.Event) -> None:
    """Reads all and says nothing."""
    link.settimeout(0.05)
    while not closing.is_set():
        try:
            if not link.recv(65_536):
                return
        except TimeoutError:
            continue


def trickling(text: bytes, pause_s: float) -> Behaviour:
    """Sends a text, then blanks one by one for ever: each read of the other side succeeds."""

    def serve(link: socket.socket, closing: threading.Event) -> None:
        link.sendall(text)
        while not closing.wait(pause_s):
            link.sendall(b" ")

    return serve
