"""A week in sentences: what was unusual, what changed, what was done, how far to trust it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from schemas.incidents import Action
from stream_app.incident_lines import short
from stream_app.reporting.parts import Block, Bullets, Legend, Opening, Part, Picture, Pictures, Table, Text
from stream_app.reporting.weekly import drawing
from stream_app.reporting.weekly.counts import WHOLE, share_of
from stream_app.reporting.weekly.days import Week, lasting
from stream_app.reporting.weekly.gathering import Gathered, Thread
from stream_app.reporting.weekly.trusting import trust, verdict
from stream_app.reporting.weekly.words import join, many, percent, said

_SHOWN = 12
_DONE = {"ack": "took note of", "accept": "accepted as the new normal", "feedback": "judged"}
_ABOUT_MODELS = {
    "approve": "let through",
    "reject": "turned down",
    "rollback": "rolled back",
    "pin": "pinned",
    "unpin": "unpinned",
    "anchor": "made the yardstick of later ones",
}
_VERDICTS = {"useful": "useful", "noise": "noise", "wrong-owner": "somebody else's"}


def title(found: Gathered) -> str:
    """The heading of the page."""
    return f"{found.stream}: the week of {found.week.says}"


def opening(found: Gathered) -> Opening:
    """What matters most, for those who read no more."""
    loud = [thread for thread in found.threads if not thread.is_silenced]
    share = share_of(found.counts.calm_strange, found.counts.calm)
    figures = [
        (f"{len(loud):,}", "unusual things", _now(loud)),
        (f"{found.counts.events:,}", "events", _compared(found)),
        (percent(share.value), "called strange when all was calm", "1 % is meant"),
    ]
    about = "Days are those of UTC, and times those of the events."
    return Opening([_unusual(found, loud), _waiting(loud), verdict(found.counts, found.counts_before)], about, figures)


def parts(found: Gathered) -> list[Part]:
    """The four parts."""
    return [
        Part("What was unusual", list(_of_unusual(found))),
        Part("What changed", list(_of_changed(found))),
        Part("What was done", list(_of_done(found))),
        Part("How far to trust it", list(trust(found))),
    ]


def _unusual(found: Gathered, loud: Sequence[Thread]) -> str:
    if not loud:
        return "Nothing unusual was found this week."
    new = sum(found.week.has(thread.told_ms) for thread in loud)
    older = len(loud) - new
    if not new:
        going = sum(thread.is_open for thread in loud)
        rest = f"{many(going, 'thing')} from before {'is' if going == 1 else 'are'} still unusual"
        return f"Nothing new was found; {rest if going else 'what went on from before is over'}."
    grave = sum(thread.last.severity == "critical" for thread in loud)
    worst = f", {grave:,} of them grave" if grave and len(loud) > 1 else ", and it is grave" if grave else ""
    since = f", and {many(older, 'thing')} went on from before" if older else ""
    return f"{many(new, 'unusual thing')} {'was' if new == 1 else 'were'} found this week{since}{worst}."


def _now(loud: Sequence[Thread]) -> str:
    going = sum(thread.is_open for thread in loud)
    return f"{going:,} still going on" if going else "none still going on" if loud else "all was calm"


def _waiting(loud: Sequence[Thread]) -> str:
    waiting = [thread for thread in loud if thread.is_open and not thread.last.acked_by]
    if not waiting:
        return "Nothing waits for an answer."
    return f"{many(len(waiting), 'thing')} {'waits' if len(waiting) == 1 else 'wait'} for somebody to look."


def _compared(found: Gathered) -> str:
    if found.counts_before is None:
        return "with no week to compare it with"
    before, now = found.counts_before.events, found.counts.events
    if abs(now - before) < 0.005 * before:
        return "as many as the week before"
    return f"{abs(now - before) / before:.0%} {'more' if now > before else 'fewer'} than the week before"


def _of_unusual(found: Gathered) -> Iterator[Block]:
    loud = [thread for thread in found.threads if not thread.is_silenced]
    hushed = len(found.threads) - len(loud)
    if loud:
        yield Text("Each bar is one thing, from when it began to when it was over; the numbers are those of the list.")
        yield Legend([(colour, severity) for severity, colour in drawing.COLOURS.items()])
        yield _timeline(found, loud)
        rows = [_row(found.week, number, thread) for number, thread in enumerate(loud[:_SHOWN], 1)]
        yield Table(("", "how grave", "when", "what"), rows, prose=True)
        if len(loud) > _SHOWN:
            yield Text(f"{len(loud) - _SHOWN:,} more are in the console.", is_remark=True)
    else:
        yield Text("No group of events behaved otherwise than usual for longer than chance explains.")
    if found.strange:
        count = sum(one.count for one in found.strange)
        yield Text(f"Besides, {many(count, 'single event')} stood out by {'itself' if count == 1 else 'themselves'}.")
    if hushed:
        yield Text(f"{many(hushed, 'more thing')} {'is' if hushed == 1 else 'are'} silenced, and not listed.", True)


def _timeline(found: Gathered, loud: Sequence[Thread]) -> Pictures:
    says = "; ".join(f"{i}: {_when(found.week, thread)}" for i, thread in enumerate(loud[:_SHOWN], 1))
    return Pictures([Picture(drawing.timeline(loud, found.actions, found.week), f"Over the week: {says}.")], "wide")


def _row(week: Week, number: int, thread: Thread) -> tuple[str, str, str, str]:
    last = thread.last
    acked = f" {last.acked_by} has taken note." if last.acked_by and thread.is_open else ""
    return str(number), last.severity, _when(week, thread), f"{said(last.summary)}{acked}"


def _when(week: Week, thread: Thread) -> str:
    last = thread.last
    since = week.when(last.since_ms)
    if thread.is_open:
        return f"since {since}"
    return f"{since}, for {lasting(last.pane_end_ms - last.since_ms)}"


def _of_changed(found: Gathered) -> Iterator[Block]:
    counts, before = found.counts, found.counts_before
    yield Text(f"{counts.events:,} events came, {_compared(found)}.")
    legend = [("data", "this week")] + ([("band", "the week before")] if before is not None else [])
    says = ", ".join(f"{name} {n:,}" for name, n in zip(found.week.names(), counts.seen.tolist(), strict=True))
    drawn = drawing.per_day(counts.seen, None if before is None else before.seen, found.week)
    yield Legend(legend)
    yield Pictures([Picture(drawn, f"Events of each day: {says}.")], "wide")
    if counts.kept < WHOLE:
        yield Text("Not every pane of this week is in the store: days and shares are of those that are.", True)
    if before is not None:
        yield Table(("", "this week", "the week before"), list(_beside(found)))
    marks = [action for action in found.actions if action.verb == "mark"]
    if marks:
        yield Text("People noted what may explain changes:")
        yield Bullets([f"{found.week.when(one.at_ms)}: {said(one.why)} ({one.by})" for one in marks])
    yield Text(_model(found))


def _beside(found: Gathered) -> Iterator[tuple[str, ...]]:
    assert found.counts_before is not None
    pair = (found.counts, found.counts_before)
    new = sum(found.week.has(thread.told_ms) and not thread.is_silenced for thread in found.threads)
    yield "events", *(f"{of.events:,}" for of in pair)
    yield "unusual things that were found", f"{new:,}", f"{sum(not one.is_silenced for one in found.before):,}"
    yield "events called strange", *(percent(share_of(of.strange, of.scored).value) for of in pair)
    yield "values that were missing", *(f"{of.missing:,}" for of in pair)


def _model(found: Gathered) -> str:
    if not found.model_id:
        return "No model was in service."
    status = Counter(row.status for row in found.models)
    new = [row.model_id for row in found.models if row.status == "promoted"]
    told = f"Events are compared with model {short(found.model_id)}"
    told += ", which is new this week." if found.model_id in new else ", the same as before the week."
    words = {
        "promoted": ("{} took over", len(new)),
        "refused": ("{} not good enough", status["refused"]),
        "waiting": ("{} for a person to decide", status["waiting"]),
    }
    listed = [text.format(many(n, "new model")) for text, n in words.values() if n]
    return f"{told} {join(listed)}." if listed else told


def _of_done(found: Gathered) -> Iterator[Block]:
    lines = [*(_answer(found, action) for action in found.actions if action.verb in _DONE), *_silences(found)]
    lines += [
        f"{found.week.when(one.at_ms)}: {one.by} {_ABOUT_MODELS[one.verb]} model {short(one.model)}{_because(one.why)}."
        for one in found.actions
        if one.verb in _ABOUT_MODELS
    ]
    lines += [
        f"driftflow went back to model {short(row.model_id)} by itself{_because(row.why)}."
        for row in found.changes
        if row.by == "driftflow" and row.verb == "rollback"
    ]
    yield Bullets(lines) if lines else Text("Nobody answered anything, and nothing was silenced.")
    waiting = [one for one in found.threads if one.is_open and not one.last.acked_by and not one.is_silenced]
    if waiting:
        yield Text("This waits for somebody, who can answer it in the console or by `driftflow incidents`:")
        yield Bullets([said(one.last.summary) for one in waiting[:_SHOWN]])


def _answer(found: Gathered, action: Action) -> str:
    about = next((one.last.summary for one in found.threads if one.last.id == action.incident_id), "")
    what = f"“{said(about)}”" if about else f"incident {short(action.incident_id)}"
    verdict = f" as {_VERDICTS.get(action.verdict, action.verdict)}" if action.verb == "feedback" else ""
    return f"{found.week.when(action.at_ms)}: {action.by} {_DONE[action.verb]} {what}{verdict}{_because(action.why)}."


def _silences(found: Gathered) -> Iterator[str]:
    for one in found.actions:
        if one.verb == "silence":
            where = join(one.slices) or "everything"
            until = found.week.when(one.to_ms)
            yield f"{found.week.when(one.at_ms)}: {one.by} silenced {where} until {until}{_because(one.why)}."
        elif one.verb == "unsilence":
            yield f"{found.week.when(one.at_ms)}: {one.by} lifted a silence{_because(one.why)}."


def _because(why: str) -> str:
    return f" ({said(why).rstrip('.')})" if why else ""
