"""``driftflow audit dossier``: puts a dossier together, and writes it as a page and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stream_app import __version__
from stream_app.audit.dossier import judging, living, making
from stream_app.audit.dossier.parts import Dossier, Section
from stream_app.audit.dossier.standards import NOT_COVERED, STANDARDS, Standard
from stream_app.audit.dossier.subject import Subject, find
from stream_app.audit.verify import Verified, verify
from stream_app.config import Config
from stream_app.disk import write_durably, writing
from stream_app.reporting.page import markdown, page
from stream_app.reporting.parts import Links, Opening, Table, Text
from stream_app.terminal import utc


def write_dossier(config: Config, prefix: str, folder: Path) -> list[Path]:
    """Write ``model.html`` and ``model.md``.

    Args:
        config: the stream.
        prefix: the first characters of the model's id.
        folder: where to; it is made.

    Raises:
        DriftflowError: no model has that id, the registry is damaged, or a file cannot be written.
    """
    dossier = make_dossier(find(config, prefix), verify(config))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "model.html", folder / "model.md"]
    parts = [section.as_part() for section in dossier.sections]
    for path, write in zip(paths, (page, markdown), strict=True):
        write_durably(path, write(dossier.title, parts, dossier.opening).encode())
    return paths


def make_dossier(subject: Subject, verified: Verified) -> Dossier:
    """All of it."""
    shown = [
        making.card(subject),
        making.limits(subject),
        judging.gates(subject),
        judging.shadow(subject),
        judging.people(subject),
        living.service(subject),
        living.incidents(subject),
        living.feedback(subject),
        living.fairness(subject),
        making.data(subject),
        living.privacy(subject),
        making.training(subject),
        living.record(verified),
    ]
    mapped = [_mapped(standard, shown) for standard in STANDARDS]
    about = (
        f"Stream {subject.config.stream}, model {subject.id}, {subject.status}; made by driftflow {__version__} from "
        "the registry, the audit log and the topics. Times are event times, UTC."
    )
    return Dossier(
        f"{subject.config.stream}: model {subject.id}",
        Opening(_said(subject, verified), about, _figures(subject, verified), has_contents=True),
        shown + mapped,
    )


def _said(subject: Subject, verified: Verified) -> list[str]:
    about = subject.about
    learnt = f", learnt from {about['rows']:,} events up to {utc(about['last_ms'])}" if "rows" in about else ""
    approved = f"approved by {about['approved_by']}" if about.get("approved_by") else "let through by the rules"
    return [
        f"This model says of each event of {subject.config.stream} how unusual it is{learnt}.",
        f"It is {subject.status}." if subject.is_in_service else f"It {_past(subject.status)}.",
        f"It was {approved}.",
        "Its record is whole." if not verified.faults else "ITS RECORD IS NOT WHOLE.",
    ]


def _past(status: str) -> str:
    return status if status.startswith(("was", "waits")) else f"was {status}"


def _figures(subject: Subject, verified: Verified) -> list[tuple[str, str, str]]:
    gates = [gate for name, gate in subject.notice.gates.items() if name != "shadow" and isinstance(gate, dict)]
    passed = sum(bool(gate.get("passed")) for gate in gates)
    shadow = subject.about.get("shadow") or {}
    figures = [(f"{passed} of {len(gates)}", "gates passed", "each with its figure below")]
    if shadow.get("gain_nats") is not None:
        figures.append((f"{shadow['gain_nats']:+.2f} nats", "gain on live events", f"{shadow['events']:,} events"))
    told = len(subject.incidents) if subject.records.asked else None
    figures.append(("–" if told is None else f"{told:,}", "incidents told under it", "those judged are listed below"))
    if len(figures) < 3:
        figures.append((f"{verified.lines:,}", "lines of the audit log", f"{len(verified.faults):,} faults"))
    return figures


def _mapped(standard: Standard, shown: Sequence[Section]) -> Section:
    """What of a standard the sections are evidence for."""
    known = {section.id: section for section in shown}
    rows, covered = list[tuple[str, str, str | Links]](), 0
    for number, topic, wanted in standard.rows:
        evidence = [known[name] for name in wanted if known[name].is_evidence]
        covered += bool(evidence)
        links = Links([(one.id, f"{one.title} ({one.brief})") for one in evidence])
        rows.append((number, topic, links if evidence else NOT_COVERED))
    intro = (
        f"For {covered} of {len(rows)} rows something here is evidence; it shows what was done about this model, and "
        "does not say that a requirement is met. What is not covered is for the organization to show."
    )
    source = Text(
        f"Source of the rows: {standard.source} What a row is about is said in our own words.", is_remark=True
    )
    return Section(standard.id, standard.title, [Text(intro), Table(("", "about", "evidence"), rows, True), source])
