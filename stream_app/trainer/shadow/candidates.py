"""What becomes of a candidate after its gates: the shadow, a person, and the answer to its request.

One candidate at a time is not decided. What is decided about it is written down before anything follows from it, and
each step gives the same when it is done again: a trainer that is killed anywhere goes on, and nothing is lost or done
twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from flowlib.artifact import Artifact, Ed25519PrivateKey
from schemas.incidents import Action
from schemas.records import IncidentSpan, ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.kafka.types import ClientSettings
from stream_app.models import audit_lines
from stream_app.models.registry import Registry, without_bytes
from stream_app.stages.dropped import Dropped
from stream_app.trainer.canaries.overruling import overruled_by
from stream_app.trainer.data.rows import Rows, gather
from stream_app.trainer.keeping import Keeping
from stream_app.trainer.outcome import Outcome
from stream_app.trainer.ranges import RangesGone, read_ranges
from stream_app.trainer.requests.believing import Asked
from stream_app.trainer.shadow import notices
from stream_app.trainer.shadow.calibrating import calibrated, is_flooded, ranges_of
from stream_app.trainer.shadow.comparing import Comparing
from stream_app.trainer.shadow.deciding import ShadowTest, Verdict
from stream_app.trainer.shadow.panes import OpenPanes
from stream_app.trainer.shadow.state import Candidate, CandidateFile
from stream_app.trainer.stopping import Stopping, persistently

UNJUDGED_MAX = 500
"""Spans that are remembered of requests that come while a candidate is in the shadow."""

_SHOWN = 64
"""Characters of a name that a person gives."""


class Candidates:
    """The candidate of one stream that is not decided, if there is one.

    Args:
        config: the stream.
        client: kafka-python connection settings.
        key: the trainer's, which signs models.
        registry: holds models.
        keeping: writes down and sends.
        stopping: ends what is under way.
        say: takes a line for the person who watches.

    Attributes:
        current: the candidate; None where there is none.

    Raises:
        DriftflowError: its file is damaged.
    """

    def __init__(
        self,
        config: Config,
        client: ClientSettings,
        key: Ed25519PrivateKey,
        registry: Registry,
        keeping: Keeping,
        stopping: Stopping,
        say: Callable[[str], None],
    ) -> None:
        self._config, self._client, self._key = config, client, key
        self._registry, self._keeping, self._stopping, self._say = registry, keeping, stopping, say
        self._file = CandidateFile(config)
        self._comparing = Comparing(config, client, registry, self._file, stopping, say)
        self.current: Candidate | None = self._file.load()

    @property
    def is_busy(self) -> bool:
        """Whether requests have to wait: a candidate is in the shadow, or being answered."""
        return self.current is not None and self.current.phase != "waiting"

    def close(self) -> None:
        """Let the connection go; the candidate stays where it is."""
        self._comparing.close()

    def is_at_once(self, outcome: Outcome) -> bool:
        """Whether a model that its gates have let through enters service without more."""
        is_first = not outcome.notice.parent_id
        return outcome.verdict == "pass" and (is_first or self._config.trainer.promotion == "auto")

    def enter(self, asked: Asked, outcome: Outcome) -> ModelNotice:
        """A model that its gates have let through, or that waits for a person, becomes the candidate.

        Returns:
            what people are told.
        """
        assert outcome.model is not None
        self.replace(outcome.notice.model_id)
        self._registry.save(outcome.model)
        waits = outcome.verdict == "wait"
        made = self._registry.load(outcome.model.model_id)
        settings = self._config.trainer
        self.current = Candidate(
            request=asked.request,
            writer=asked.writer,
            notice=without_bytes(outcome.notice),
            champion=self._registry.in_service(),
            phase="waiting" if waits else "shadow",
            offsets={part.partition: part.end for part in asked.request.train},
            panes=OpenPanes(int(self._config.windows.pane)),
            test=ShadowTest.of(made.manifest.get("kind", "model"), settings.min_gain_nats, settings.max_alarm_ratio),
            begun_s=time.time(),
        )
        self._file.keep(self.current)
        return self._announce(self.current)

    def resume(self) -> None:
        """Go on where an earlier process has stopped: send what it has not, answer what it has decided."""
        if self.current is None:
            return
        if self.current.phase == "closing":
            self._answer(self.current)
        else:
            self._announce(self.current)

    def go_on(self, timeout_ms: int) -> bool:
        """Compare on live events for a moment; whether the candidate is in the shadow still."""
        candidate = self.current
        if candidate is None or candidate.phase != "shadow":
            return False
        if not candidate.champion:
            self._close(candidate, "promote", "there is no model in service to compare with")
            return False
        verdict = self._comparing.step(candidate, timeout_ms)
        if verdict:
            self._end_shadow(candidate, verdict)
        return not verdict

    def remember(self, spans: Sequence[IncidentSpan]) -> None:
        """Spans that nobody has judged, which a later request tells of: their rows do not calibrate the candidate."""
        if self.current is not None:
            new = [span for span in spans if span not in self.current.unjudged]
            self.current.unjudged = [*self.current.unjudged, *new][-UNJUDGED_MAX:]

    def replace(self, by: str) -> None:
        """Another model takes the place of the candidate that is not decided, if there is one."""
        if self.current is not None:
            why = f"model {by}, trained for a later request, has taken its place before anything was decided"
            self._close(self.current, "reject", why)

    def covers(self, request: RetrainRequest) -> str:
        """Why a request needs no model now: one that was trained for another, and is not older than a cooldown, waits
        for a person; "" where it does need one, as where people have accepted incidents since.
        """
        candidate = self.current
        if candidate is None or candidate.phase != "waiting":
            return ""
        known = {span.incident_id for span in candidate.request.accepted}
        if any(span.incident_id not in known for span in request.accepted):
            return ""
        until_ms = candidate.request.requested_pane_ms + int(self._config.retrain.cooldown)
        if request.model_id != candidate.champion or request.requested_pane_ms >= until_ms:
            return ""
        return f"covered by {candidate.model_id} (request {candidate.request.id}), which waits for a person"

    def act(self, action: Action) -> str:
        """Take in what a person says of a model; why nothing follows from it, "" where something does, or has."""
        candidate, line = self.current, self._keeping.known(action)
        if line is not None and (candidate is None or line.body.get("request") != candidate.request.id):
            return ""  # it was about an earlier candidate, which may have had the same id
        if candidate is None or action.model != candidate.model_id or candidate.phase == "closing":
            return f"model {action.model[:_SHOWN] or '(none)'} waits for nobody: it is decided already, or is none"
        said = {"by": action.by, "why": action.why, "action": action.id}
        body = {"model": action.model, "request": candidate.request.id, **said}
        if action.verb == "reject":
            self._keeping.note_said(action, ("rejection", action.id, body))
            self._close(candidate, "reject", f"rejected by {action.by}{f': {action.why}' if action.why else ''}")
        elif not candidate.approved:
            self._keeping.note_said(action, ("approval", action.id, body))
            candidate.approved = {**said, "at_ms": action.at_ms}
            self._approved(candidate)
        elif candidate.approved["action"] != action.id:
            return f"model {candidate.model_id} is approved by {candidate.approved['by']} already"
        return ""

    # From phase to phase --------------------------------------------------------------------------------------------

    def _approved(self, candidate: Candidate) -> None:
        self._say(f"model {candidate.model_id} is approved by {candidate.approved['by']}")
        if candidate.phase == "shadow":
            self._file.keep(candidate)  # the shadow decides, and nobody is asked any more
        elif candidate.shadow or self._config.trainer.promotion == "auto" or not candidate.champion:
            self._close(candidate, "promote", candidate.why)
        else:
            candidate.phase, candidate.begun_s = "shadow", time.time()
            self._file.keep(candidate)
            self._announce(candidate)

    def _end_shadow(self, candidate: Candidate, verdict: Verdict) -> None:
        candidate.shadow = {"verdict": verdict, **candidate.test.figures()}
        candidate.why = candidate.test.says(verdict)
        self._keeping.note("shadow end", candidate.model_id, {"request": candidate.request.id, **candidate.shadow})
        self._comparing.close()
        if verdict == "promote" and self._config.trainer.promotion == "approve" and not candidate.approved:
            candidate.phase = "waiting"
            self._file.keep(candidate)
            self._announce(candidate)
        else:
            self._close(candidate, verdict, candidate.why)

    def _close(self, candidate: Candidate, verdict: Verdict, why: str) -> None:
        candidate.phase, candidate.verdict, candidate.why = "closing", verdict, why
        self._file.keep(candidate)
        self._answer(candidate)

    def _answer(self, candidate: Candidate) -> None:
        """Answer the request of a candidate that is decided; what was kept of that by an earlier process counts."""
        kept = self._registry.answer_to(candidate.request.id)
        if kept is None:
            is_promoted = candidate.verdict == "promote"
            outcome = self._promoted(candidate) if is_promoted else Outcome(notices.refused(candidate), None)
            kept = self._keeping.answer(candidate.asked, outcome)
        else:
            self._keeping.send(candidate.asked, kept)
        for incident_id in overruled_by(kept):
            self._keeping.note(*audit_lines.of_overruled(incident_id, kept))
            self._say(
                f"incident {incident_id[:8]} is no canary any more: {candidate.approved['by']} has approved model "
                f"{kept.model_id}, which does not flag its events"
            )
        self._file.clear()
        self._comparing.forget()
        self.current = None

    # What people are told -------------------------------------------------------------------------------------------

    def _announce(self, candidate: Candidate) -> ModelNotice:
        kept = self._keeping.announce(Outcome(notices.announced(candidate, self._config.trainer.promotion), None))
        self._say(f"model {kept.model_id} {kept.status}: {kept.reason}")
        return kept

    def _promoted(self, candidate: Candidate) -> Outcome:
        model = self._calibrated(candidate) or self._registry.read(candidate.model_id)
        return Outcome(notices.promoted(candidate, model), model, verdict="pass")

    def _calibrated(self, candidate: Candidate) -> Artifact | None:
        """The candidate with the calibration of now; None where its own has to do, which is said."""
        try:
            rows = persistently(lambda: self._read(candidate), "reading the rows", self._stopping, self._say)
        except RangesGone as error:
            self._say(f"model {candidate.model_id} keeps its calibration: {error}")
            return None
        density = self._comparing.model(candidate.model_id)
        if is_flooded(self._config, candidate, density, rows.table):
            self._say(
                f"model {candidate.model_id} keeps its calibration: far more of the live events than should be are "
                "strange to it, and nobody has judged them"
            )
            return None
        return calibrated(self._config, candidate, density, rows, notices.about(candidate), self._key)

    def _read(self, candidate: Candidate) -> Rows:
        ranges, dropped = ranges_of(candidate), Dropped()
        batches = read_ranges(self._config, ranges, self._client, self._stopping, dropped)
        start_ms = min(part.start_ms for part in ranges)
        return gather(batches, start_ms, ranges[0].end_ms, rejected=dropped)
