"""Sections on what the model is and how it was made: card, limits, data sheet, training."""

from __future__ import annotations

from typing import Any

from stream_app.audit.dossier.parts import Section, nothing
from stream_app.audit.dossier.subject import Subject
from stream_app.audit.steps import offsets
from stream_app.reporting.parts import Block, Facts, Table, Text
from stream_app.terminal import utc

_SETTINGS = ("event", "event_rule", "model", "privacy", "retrain", "trainer", "windows")
_LISTED_MAX = 100


def card(subject: Subject) -> Section:
    """What it is for, in plain words."""
    event = subject.config.event
    columns = ", ".join(f"{name} ({event.units[name]})" if name in event.units else name for name in event.numeric)
    what_for = (
        f"says of each event of the stream {subject.config.stream} how unusual it is: a p-value, and which columns are "
        "to blame; sums of this, slice by slice, tell of drift and of faults in the data"
    )
    pairs = [
        ("what for", what_for),
        ("who is it for", "operators who look after the stream and its data, and who judge what they are told"),
        ("what it looks at", columns or "no numbers"),
        ("categories", ", ".join(event.categorical) or "none"),
        ("looked at by", "; ".join(" and ".join(fields) or "all events together" for fields in event.slicings)),
        ("kept from messages", ", ".join(event.sensitive) or "no column is named as sensitive (event.sensitive)"),
        ("kind of model", _kind(subject.manifest)),
        ("explains itself by", "the columns of an event that an ordinary value would make likely, in shares (blame)"),
        ("status", subject.status),
        ("signature verified", subject.verified),
    ]
    return Section("card", "What this model is", [Facts(pairs)], brief="purpose, columns, method")


def _kind(manifest: dict[str, Any]) -> str:
    if not manifest:
        return "not known: its file is not here"
    sizes = ", ".join(f"{name} {value}" for name, value in sorted(manifest["hyperparameters"].items()))
    return f"a density of whole events, normalizing flow {manifest['flow']} ({sizes}), with calibrated p-values"


def limits(subject: Subject) -> Section:
    """What it is not for, and what stays with people."""
    alpha = subject.config.event_rule.alpha
    says = [
        "It does not say whether an event is good, bad or true, nor anything about a person: only how unusual it is "
        "beside the events that it has learnt. Decisions about people must not rest on it.",
        "Rare and new are alike to it: a small group that is rightly different is called strange more often than a "
        "large one. The section on fairness shows how often.",
        f"Of ordinary events about {alpha:.2%} are called strange (event_rule.alpha) as long as the world is as it was "
        "in training; when it changes, more are, until a model has learnt the change.",
        "What was strange in training and nobody has judged was left out as far as it was found; what was not found "
        "has been learnt as ordinary.",
        "Thresholds, what is sensitive, which slices matter, and whether a drift is the new normal are decided by "
        "people. So are law, impact on persons and society, roles, and training of staff: nothing here is evidence of "
        "these.",
    ]
    return Section("limits", "Intended use and limits", [Text(line) for line in says], brief="limits, in words")


def data(subject: Subject) -> Section:
    """The data sheet."""
    about, title = subject.about, "The data it was made of"
    if "rows" not in about:
        return nothing("data", title, "No notice of this model says what it was trained on.")
    parts, blocks = about.get("parts", {}), about.get("blocks", {})
    unit = blocks.get("unit", "block")
    rows = [(name, f"{n:,}", f"{blocks.get(name, 0):,}") for name, n in parts.items()]
    said = [
        (one["severity"], ", ".join(one.get("columns", [])) or "rows", one["says"])
        for one in about.get("sheet", [])[:_LISTED_MAX]
    ]
    left = [
        (f"{one['reason']}{f' ({field})' if (field := one.get('field')) else ''}", f"{one['rows']:,}")
        for one in about.get("left_out", [])
    ]
    content: list[Block] = [
        Facts(
            [
                ("events", f"{about['rows']:,}, from {utc(about['first_ms'])} to {utc(about['last_ms'])}"),
                ("from", f"topic {about['topic']}, {offsets(about['ranges'])}"),
                ("fingerprint", f"SHA-256 {about['rows_sha256']}"),
                ("spans nobody has judged", f"{about.get('unjudged', 0):,} (their events train nothing)"),
                ("spans a person took for normal", f"{about.get('accepted', 0):,}"),
            ]
        ),
        Text(
            "Three spans in order of time: it learns on the oldest events, is calibrated on later ones, and is judged "
            "on the newest, which it has not seen the like of."
        ),
        Table(("part", "events", f"{unit}s"), rows),
        *_optional("Left out of what was asked for:", Table(("why", "events"), left)),
        *_optional("What was found in the data:", Table(("", "columns", "finding"), said, prose=True)),
    ]
    if not said:
        content.append(Text("No finding: no gaps, copies, leaks, unit changes or other faults worth telling."))
    return Section("data", title, content, brief="data sheet")


def _optional(head: str, table: Table) -> list[Block]:
    return [Text(head), table] if table.rows else []


def training(subject: Subject) -> Section:
    """How it was made."""
    about, title = subject.about, "How it was made"
    if "code" not in about:
        return nothing("training", title, "No notice of this model says how it was trained.")
    packages = ", ".join(f"{name} {version}" for name, version in about.get("packages", {}).items())
    pairs = [
        ("request", f"{about['request']}, named incidents: {', '.join(about.get('incidents', [])) or 'none'}"),
        ("events that trained", f"{subject.notice.train_rows:,}"),
        ("trained on from", about.get("parent") or "nothing: from scratch, the first model"),
        ("candidate", about.get("candidate") or "itself"),
        ("measured from (anchor)", about.get("anchor") or "no anchor yet"),
        ("code", f"driftflow {about['code']}"),
        ("packages", packages),
        ("seed", str(about.get("seed", ""))),
        ("settings", f"SHA-256 {about['settings_sha256']}"),
        ("signed by key", subject.notice.key_id or "not known"),
    ]
    settings = [
        (f"{section}.{name}", str(value))
        for section in _SETTINGS
        for name, value in sorted(about.get("settings", {}).get(section, {}).items())
    ]
    again = Text(
        "With the same events, settings and code the same model comes out, byte for byte; a private one does not, as "
        "its noise is drawn anew.",
        is_remark=True,
    )
    return Section(
        "training",
        title,
        [
            Facts(pairs),
            again,
            Table(("setting", "value"), settings, folded="All settings that make and judge a model (times in ms)"),
        ],
        brief="rows, code, settings",
    )
