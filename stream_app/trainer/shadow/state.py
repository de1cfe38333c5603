"""What is known of the candidate that is not decided yet: one file, replaced as a whole.

Offsets and statistics stand in it together, so that a trainer that was killed goes on where it was: what lies below the
offsets has been counted, and nothing else has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from schemas.records import IncidentSpan, ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.disk import write_durably, writing
from stream_app.errors import DriftflowError
from stream_app.trainer.requests.believing import Asked
from stream_app.trainer.shadow.deciding import ShadowTest, Verdict
from stream_app.trainer.shadow.panes import OpenPanes

Phase = Literal["shadow", "waiting", "closing"]
"""``shadow``: it is compared on live events; ``waiting``: for a person; ``closing``: decided, and being answered."""


class Candidate(msgspec.Struct):
    """A candidate that is not decided yet.

    Attributes:
        request, writer: what it was trained for, and who asked.
        notice: what its gates found, without the model's bytes and without a number.
        champion: id of the model in service that it is compared with.
        phase: what happens to it now.
        offsets: partition of the events topic to the next offset to read.
        panes: events that have been read and are not in ``test``.
        test: what live events say.
        begun_s: when it came, wall clock, seconds since the epoch.
        verdict, why: what was decided, in a sentence; "" before.
        shadow: figures of the shadow, once it has ended.
        approved: what a person has said for it, by whom, why and when; empty before.
        unjudged: spans that nobody has judged, of the requests that came meanwhile.
        until_ms: end of the pane that decided; how far reading had come by then is the machine's business. None where
            something else has decided.
    """

    request: RetrainRequest
    writer: str
    notice: ModelNotice
    champion: str
    phase: Phase
    offsets: dict[int, int]
    panes: OpenPanes
    test: ShadowTest
    begun_s: float
    verdict: Verdict = ""
    why: str = ""
    shadow: dict[str, Any] = msgspec.field(default_factory=dict)
    approved: dict[str, Any] = msgspec.field(default_factory=dict)
    unjudged: list[IncidentSpan] = msgspec.field(default_factory=list)
    until_ms: int | None = None

    @property
    def model_id(self) -> str:
        """Of the candidate."""
        return self.notice.model_id

    @property
    def asked(self) -> Asked:
        """The request, as it came."""
        return Asked(self.request, self.writer)


_DECODER = msgspec.msgpack.Decoder(Candidate)


class CandidateFile:
    """``{state.dir}/{stream}.shadow``, which only the trainer may read."""

    def __init__(self, config: Config) -> None:
        self.path: Path = config.path(config.state.dir) / f"{config.stream}.shadow"

    def keep(self, candidate: Candidate) -> None:
        """Replace the file; a crash leaves the old one or the new one. Raises DriftflowError."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self.path, msgspec.msgpack.encode(candidate), 0o600)

    def load(self) -> Candidate | None:
        """The candidate; None where there is none.

        Raises:
            DriftflowError: the file cannot be read or is damaged.
        """
        try:
            return _DECODER.decode(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DriftflowError(
                f"{self.path} cannot be read ({error}): restore it from a backup, or move it away, and the request it "
                "is about stays without an answer"
            ) from error

    def clear(self) -> None:
        """Remove the file: its candidate is answered. Raises DriftflowError where it cannot be removed."""
        with writing(self.path):
            self.path.unlink(missing_ok=True)
