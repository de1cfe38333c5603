"""Calls to a server that end in time, whatever the server, the network or the resolver of names do.

A timeout of a socket is one for each read: a server that sends a byte now and then is never late. So a call runs in a
thread of its own, which is waited for; when the time is over its sockets are shut down, and it ends in an error.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection

from stream_app.errors import SinkError

T = TypeVar("T")

_GRACE_S = 1.0
"""How long a thread may take to end once its sockets are shut down."""


class Line(Protocol):
    """What a call goes over, where another thread can cut it."""

    def begin(self) -> None:
        """A call begins."""

    def end(self) -> None:
        """A call has ended by itself."""

    def shut(self) -> None:
        """End whatever is going on."""


class Sockets:
    """The sockets of a pool manager, where another thread can shut them down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A twin (dup) each: urllib3 gives its own socket away to TLS, and closes it before an answer is read whole.
        self._twins = dict[HTTPConnection, socket.socket]()
        self._shut = False

    def watch(self, manager: PoolManager) -> None:
        """See every socket that the manager opens from now on."""
        manager.pool_classes_by_scheme = {
            scheme: _watched(pool, self) for scheme, pool in manager.pool_classes_by_scheme.items()
        }

    def add(self, connection: HTTPConnection, made: socket.socket) -> None:
        """A connection has opened a socket.

        Raises:
            OSError: the call that it is for has been given up.
        """
        with self._lock:
            if self._shut:
                made.close()
                raise OSError("the call was given up")
            twin, old = made.dup(), self._twins.pop(connection, None)
            self._twins[connection] = twin
        if old is not None:
            old.close()

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            self._shut = False

    def end(self) -> None:
        """A call has ended: forget the connections that it has closed."""
        with self._lock:
            for connection in [one for one in self._twins if one.sock is None]:
                self._twins.pop(connection).close()

    def shut(self) -> None:
        """End whatever is going on; no socket is opened until the next call begins."""
        with self._lock:
            self._shut = True
            while self._twins:
                _, twin = self._twins.popitem()
                with suppress(OSError):
                    twin.shutdown(socket.SHUT_RDWR)
                twin.close()


def _watched(pool: type[HTTPConnectionPool], sockets: Sockets) -> type[HTTPConnectionPool]:
    """The pool with connections that tell of their sockets: a hook that urllib3 lets subclasses have."""

    def new_conn(connection: Any) -> socket.socket:
        made: socket.socket = pool.ConnectionCls._new_conn(connection)  # type: ignore[attr-defined]
        sockets.add(connection, made)
        return made

    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"_new_conn": new_conn})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


class Deadline:
    """Runs calls one after the other, each for so long at most.

    Args:
        where: the server, for messages.
        seconds: the time of a call in all: names, connection, TLS, sending and receiving.
        sockets: what it uses.
    """

    def __init__(self, where: str, seconds: float, sockets: Line) -> None:
        self._where, self._seconds, self._sockets = where, seconds, sockets
        self._thread: threading.Thread | None = None

    def run(self, call: Callable[[], T]) -> T:
        """What the call returns or raises.

        Raises:
            SinkError: it has not ended in time, or one that was given up before hangs still: the system's resolver of
                names cannot be interrupted, and there is never more than one such thread.
        """
        if self._thread is not None and self._thread.is_alive():
            raise SinkError(
                f"{self._where} cannot be reached, an earlier call still hangs: see whether its name is resolved"
            )
        result = Future[T]()
        self._sockets.begin()
        self._thread = threading.Thread(target=_run, args=(call, result), name="call to a sink", daemon=True)
        self._thread.start()
        self._thread.join(self._seconds)
        if self._thread.is_alive():
            self._sockets.shut()
            self._thread.join(_GRACE_S)
            raise SinkError(f"{self._where} has not answered within {self._seconds:g} s in all")
        self._sockets.end()
        return result.result()


def _run(call: Callable[[], T], result: Future[T]) -> None:
    try:
        result.set_result(call())
    except BaseException as error:
        result.set_exception(error)
