"""The questions that the page asks, and how they are answered: as JSON, 400 with a sentence where they cannot be asked,
404 where there is no such thing, 503 where the store says nothing now."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stream_app.console import arriving, asked
from stream_app.console.answers import NotReadableError, Store
from stream_app.console.live import Live
from stream_app.console.rows import Row
from stream_app.errors import DriftflowError
from stream_app.guard import described


def asking(store: Store, live: Live | None) -> list[Route]:
    """The routes.

    Args:
        store: what is asked.
        live: what the processes of this machine say; without it only the store speaks.
    """

    def overview(request: Request) -> Response:
        try:
            now = live.look() if live else None
            version, answer = store.overview(now)
            why = "" if answer else store.trouble()
        except NotReadableError as error:  # no version: the page asks again, whether or not the file changes
            return JSONResponse({"overview": None, "stream": store.stream, "why": str(error)})
        except Exception as error:
            return JSONResponse({"overview": None, "stream": store.stream, "why": unforeseen(error)})
        moving = [answer["verdict"], *(answer["counters"].get(name) for name in arriving.DROPPED)] if answer else ""
        tag = {"ETag": f'"{version}-{zlib.crc32(msgspec.json.encode(moving)):x}"'}
        if request.headers.get("if-none-match") == tag["ETag"]:
            return Response(status_code=304, headers=tag)
        return JSONResponse({"overview": answer, "stream": store.stream, "why": why}, headers=tag)

    def slices(request: Request) -> Response:
        return found(lambda: store.slices(*asked.slices(request.query_params)), "")

    def detail(request: Request) -> Response:
        query = request.query_params
        return found(
            lambda: store.detail(query.get("slicing", ""), query.get("slice", ""), query.get("span", "")),
            "no such slice, or nothing stored of it yet",
        )

    def incidents(request: Request) -> Response:
        return found(lambda: store.incidents(asked.incidents(request.query_params)), "")

    def incident(request: Request) -> Response:
        return found(
            lambda: store.incident(request.query_params.get("id", "")), "no such incident, or nothing stored of it yet"
        )

    def watcher(_: Request) -> Response:
        return found(lambda: _watched(store.watched(), live.look() if live else None), "")

    def models(_: Request) -> Response:
        return found(lambda: store.models() | {"candidate": live.candidate() if live else None}, "")

    def fairness(_: Request) -> Response:
        return found(store.fairness, "")

    questions = {
        "overview": overview,
        "slices": slices,
        "slice": detail,
        "incidents": incidents,
        "incident": incident,
        "watcher": watcher,
        "models": models,
        "fairness": fairness,
    }
    return [Route(f"/api/{name}", question) for name, question in questions.items()]


def _watched(stored: Row, live: Row | None) -> Row:
    return stored | {"live": live, "counters": arriving.newest(stored["counters"], live)}


def found(ask: Callable[[], Row | None], missing: str) -> Response:
    """An answer; ``missing`` is said where there is none."""
    try:
        answer = ask()
    except NotReadableError as error:
        return _refused(503, str(error))
    except DriftflowError as error:
        return _refused(400, str(error))
    except Exception as error:
        return _refused(503, unforeseen(error))
    return _refused(404, missing) if answer is None else JSONResponse(answer)


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)


def unforeseen(error: Exception) -> str:
    """What the page shows of an error that has no sentence of its own."""
    return f"an error that nobody foresaw: {described(error)}; report it. The page asks again"
