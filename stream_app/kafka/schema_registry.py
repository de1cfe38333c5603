"""Asks a schema registry (Confluent's API) for schemas by id, and registers those of signals.

A registry that is away, refuses or makes no sense is a :class:`RegistryError`: whoever asks tries again later. That an
id is unknown is an answer.
"""

from __future__ import annotations

import base64
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.schema_cache import Found, SchemaCache, not_known
from stream_app.stages.score.formats.avro_schema import TEXT_MAX
from stream_app.stages.score.formats.schemas import Schemas

if TYPE_CHECKING:
    import urllib3

T = TypeVar("T")

_ANSWER_MAX = 2 * TEXT_MAX
_REFERENCES_MAX = 100
_TOKEN = re.compile(r"[!-~]+")
_SENT_AS = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND = frozenset({40401, 40402, 40403})
_REMEDIES = {
    401: "the user or the token is wrong or missing: see schema_registry.username and its secrets",
    403: "this user may not read its schemas, or not register any",
    404: "there is no registry at this address: see schema_registry.url",
    409: "the schema does not go with the one before: an open JSON Schema with one more field is incompatible, unless "
    "the subject's compatibility is FORWARD or NONE",
    422: "it takes no such schema: JSON Schema 2020-12 needs Confluent Platform 7.5, or its like",
    429: "the registry asks for patience",
}


class RegistryError(DriftflowError):
    """The schema registry does not answer, or not as one does; it is asked again later."""


class UnknownSchema(DriftflowError):
    """The registry says that there is no such thing; or it is one that is not read, and the words say why."""


class _Answer(msgspec.Struct):
    schema: str
    schemaType: str = "AVRO"
    references: list[_Reference] = []


class _Registered(msgspec.Struct):
    id: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class _Reference(msgspec.Struct):
    subject: str
    version: int


class Registry:
    """The registry of a stream.

    Attributes:
        cache: what is kept of it here.
        timeout_s: longest time of a question.

    Raises:
        DriftflowError: a secret or the file of authorities cannot be read.
    """

    def __init__(self, config: Config) -> None:
        section = config.schema_registry
        self.url, self.timeout_s, self.cache = section.url.rstrip("/"), section.timeout.seconds, SchemaCache(config)
        self._headers, self._http = _headers(config), _client(config)
        self._pending: Future[Any] | None = None

    def supply(self, schemas: Schemas, values: Iterable[bytes | None]) -> None:
        """Enter all schemas that bodies need, asking where need be.

        Raises:
            RegistryError: the registry has to be asked and does not answer.
            DriftflowError: an answer cannot be written down.
        """
        self.cache.expire(schemas)
        for schema_id in self.cache.kept(schemas, schemas.missing(values)):
            self.cache.enter(schemas, schema_id, self.wait(self.ask(schema_id)))

    def ask(self, schema_id: int) -> Future[Found]:
        """Ask for a schema, in a thread of its own; the result raises RegistryError."""
        return self._begun(lambda: self._found(schema_id))

    def wait(self, answer: Future[T]) -> T:
        """What comes of a question; raises RegistryError, in time whatever the other side does."""
        try:
            return answer.result(self.timeout_s)
        except LateError:
            raise self.late() from None

    def late(self) -> RegistryError:
        """That the registry has not answered in time."""
        return RegistryError(f"{self.url} has not answered within {self.timeout_s:g} s in all")

    def check(self) -> str:
        """Ask for something that every registry has; raises RegistryError."""
        kinds = self.wait(self._begun(lambda: self._answer_to("schemas/types", list[str])))
        return f"{self.url} has {', '.join(kinds)}"

    def register(self, schemas: Mapping[str, str]) -> dict[str, int]:
        """Subject to the id of its JSON Schema, which the registry has from now on; the same ones at each call.

        Raises:
            RegistryError: it does not answer, or refuses one: the subject is named.
        """
        return {
            subject: self.wait(self._begun(partial(self._entered, subject, schemas[subject]))) for subject in schemas
        }

    def _entered(self, subject: str, schema: str) -> int:
        path = f"subjects/{quote(subject, safe='')}/versions"
        body = msgspec.json.encode({"schemaType": "JSON", "schema": schema})
        try:
            return self._answer_to(path, _Registered, body).id
        except DriftflowError as error:
            raise RegistryError(f"subject {subject}: {error or 'the registry has no place for it'}") from error

    def _begun(self, call: Callable[[], T]) -> Future[T]:
        """A thread that no process waits for at its end; never more than one, however long a server makes it hang."""
        if self._pending is not None and not self._pending.done():
            raise RegistryError(f"{self.url}: an earlier question still hangs")
        future = Future[T]()
        future.set_running_or_notify_cancel()  # who waits no longer must not take it for one that has ended
        self._pending = future
        threading.Thread(target=_run, args=(call, future), name="schema registry", daemon=True).start()
        return future

    def _found(self, schema_id: int) -> Found:
        try:
            answer = self._answer_to(f"schemas/ids/{schema_id}", _Answer)
            if answer.schemaType != "AVRO":
                return f"of {self.url} is {answer.schemaType[:40]} and no Avro: see event.format"
            texts: dict[tuple[str, int], str] = {}
            self._add_references(answer, texts, [])
            return (*texts.values(), answer.schema)
        except UnknownSchema as error:
            return str(error) or not_known(self.url)

    def _add_references(self, answer: _Answer, texts: dict[tuple[str, int], str], way: list[tuple[str, int]]) -> None:
        """Add the schemas that one names types of, those that they name first."""
        for reference in answer.references:
            place = (reference.subject, reference.version)
            if place in texts or place in way:
                continue
            # An answer, and not an error, after which events would wait for another one for ever.
            if len(texts) + len(way) >= _REFERENCES_MAX:
                raise UnknownSchema(f"of {self.url} names more than {_REFERENCES_MAX} others, and is not read")
            if sum(map(len, texts.values())) + len(answer.schema) > TEXT_MAX:
                raise UnknownSchema(f"of {self.url} has more than {TEXT_MAX:,} characters with those that it names")
            found = self._answer_to(f"subjects/{quote(place[0], safe='')}/versions/{place[1]}", _Answer)
            self._add_references(found, texts, [*way, place])
            texts[place] = found.schema

    def _answer_to(self, path: str, kind: type[T], posted: bytes | None = None) -> T:
        """What is at a path; with a body, what comes of posting it there."""
        import urllib3  # as below

        try:
            response = self._http.request(
                "GET" if posted is None else "POST",
                f"{self.url}/{path}",
                body=posted,
                headers=self._headers if posted is None else {**self._headers, "Content-Type": _SENT_AS},
                timeout=urllib3.Timeout(total=self.timeout_s),
                retries=False,
                preload_content=False,
                redirect=False,
            )
            with response:
                body = response.read(_ANSWER_MAX + 1, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RegistryError(f"{self.url} cannot be reached: {error}") from error
        return self._checked(response.status, body, kind)

    def _checked(self, status: int, body: bytes, kind: type[T]) -> T:
        if status == 404 and _code(body) in _NOT_FOUND:
            raise UnknownSchema
        if status != 200:
            raise RegistryError(f"{self.url} answers {status}, {_REMEDIES.get(status, 'it has a problem')}")
        if len(body) > _ANSWER_MAX:
            raise UnknownSchema(f"of {self.url} is larger than {_ANSWER_MAX:,} bytes, and is not read")
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RegistryError(f"{self.url} gives an answer that makes no sense: {str(error)[:200]}") from None


def registry_of(config: Config) -> Registry | None:
    """The registry of a stream's events; None where they need none. Raises DriftflowError."""
    return Registry(config) if config.schema_registry.url and config.event.format == "avro" else None


def _code(body: bytes) -> Any:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return told.get("error_code") if isinstance(told, dict) else None


def _headers(config: Config) -> Mapping[str, str]:
    section = config.schema_registry
    try:
        token, password = section.token(config.root), section.password(config.root)
    except OSError as error:
        raise DriftflowError(f"a secret of [schema_registry] cannot be read: {error}") from error
    headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
    if section.username:
        login = base64.b64encode(f"{section.username}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    elif token:
        if not _TOKEN.fullmatch(token):  # the client's own error would tell it
            raise DriftflowError("the token of [schema_registry] holds a blank, a line break or a letter that none has")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _client(config: Config) -> urllib3.PoolManager:
    import urllib3  # it takes fifteen milliseconds and two megabytes, and most streams have no registry

    cafile = config.schema_registry.cafile
    try:
        context = ssl.create_default_context(cafile=str(config.path(cafile)) if cafile else None)
    except OSError as error:
        path = config.path(cafile)
        raise DriftflowError(f"{path} (schema_registry.cafile) holds no certificate: {error}") from error
    return urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=context)


def _run(call: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
