"""The two requests by which the page answers: may I, and this is what I say."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stream_app.console.acting import BODY_MAX, Answer, Desk
from stream_app.console.answers import Store
from stream_app.errors import DriftflowError
from stream_app.incident_lines import is_answerable

_ONLY_SHOWS = "The console was started without a configuration to send by."
_FOREIGN = "this was not sent by the console's own page"
_UNKNOWN = "answers need the token that the console has printed at its start, or that lies in console.token_file"


def answering(store: Store, desk: Desk | None) -> list[Route]:
    """The routes; without a desk they say that nothing can be sent from here."""

    def acting(request: Request) -> Response:
        """``ready``: whether answers can be sent from here; ``known``: whether the request has the token for it."""
        why = desk.fault() if desk else _ONLY_SHOWS
        known = desk is not None and desk.is_known(request.headers)
        return JSONResponse({"ready": not why, "known": known, "why": why or ("" if known else _UNKNOWN)})

    async def act(request: Request) -> Response:
        if desk is None:
            return _refused(403, _ONLY_SHOWS)
        if not desk.is_ours(request.headers):
            return _refused(403, _FOREIGN)
        if not desk.is_known(request.headers):
            return _refused(403, _UNKNOWN)
        body = await _body(request)
        if body is None:
            return _refused(413, f"an answer has at most {BODY_MAX:,} bytes")
        try:
            answer = msgspec.json.decode(body, type=Answer)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            return _refused(400, f"this is no answer: {error}")
        return await run_in_threadpool(_send, store, desk, answer)

    return [Route("/api/acting", acting), Route("/api/act", act, methods=["POST"])]


def _send(store: Store, desk: Desk, answer: Answer) -> Response:
    try:
        if answer.is_of_model:
            return JSONResponse({"says": desk.say_of_model(answer)}, status_code=202)
        return _to_incident(store, desk, answer)
    except DriftflowError as error:
        return _refused(503, str(error))


def _to_incident(store: Store, desk: Desk, answer: Answer) -> Response:
    if answer.verb == "unsilence":
        return _sent(desk.send(answer).id)
    state = store.state_of(answer.incident_id)
    if state is None:
        return _refused(404, "no such incident, or nothing stored of it yet")
    if state == "over" and answer.verb != "feedback":
        return _refused(409, "it is over already")
    if answer.verb == "feedback":
        return _sent(desk.send(answer).id)
    record, now_ms = store.last_message(answer.incident_id)
    if answer.verb != "silence" and not is_answerable(record):
        return _refused(409, "it ends by itself once events are as they should be, and no answer changes that")
    if answer.verb != "silence":
        return _sent(desk.send(answer).id)
    return _sent(desk.silence(answer, record, now_ms).id)


def _sent(action_id: str) -> Response:
    return JSONResponse({"sent": action_id}, status_code=202)


async def _body(request: Request) -> bytes | None:
    """The body; None where it is too long."""
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_MAX:
                return None
    except ClientDisconnect:
        return b""
    return body


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)
