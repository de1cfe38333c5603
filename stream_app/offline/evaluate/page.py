"""The page: plain words first, then figures, then plots. One file, no scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from flowlib.evaluation import ALARM_ALPHA, Estimate, Evaluation


@dataclass(frozen=True)
class About:
    """What the report is about: stream, model, which rows, and their time."""

    stream: str
    model_id: str
    rows: str
    span: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Month:
    """One month of events: name, rows, whether it lies before the end of training, nats and share of p ≤ 0.01."""

    name: str
    rows: int
    trained: bool
    log_prob: Estimate
    alarms: Estimate


def verdict(evaluation: Evaluation) -> list[str]:
    """One sentence each on calibration, likelihood and samples."""
    alarms, auc = evaluation.alarms, evaluation.two_sample.value
    if alarms.low <= ALARM_ALPHA <= alarms.high:
        calibrated = "It calls as many ordinary events strange as it should, as far as these days can tell"
    elif alarms.value < ALARM_ALPHA:
        calibrated = "It calls fewer events strange than it should (careful rather than loud)"
    else:
        many = "somewhat more" if alarms.value <= 0.03 else "far more"
        calibrated = f"It calls {many} events strange than it should: these rows differ from those it was calibrated on"
    gains = [
        f"{'gains' if gain.value >= 0 else 'loses'} {_nats(abs(gain.value))} an event against {name}"
        for name, gain in evaluation.over.items()
    ]
    likely = f"It {', '.join(gains)}" if gains else "No baseline was fitted"
    likely = ". ".join(
        [likely, *(f"There are no figures against {name}: {why}" for name, why in evaluation.left_out.items())]
    )
    alike = (
        "cannot be told from"
        if auc < 0.55
        else "are hard to tell from"
        if auc < 0.65
        else "can often be told from"
        if auc < 0.8
        else "are easily told from"
    )
    return [
        f"{calibrated}.",
        f"{likely}.",
        f"Its samples {alike} real events (AUC {auc:.2f}; 0.5 is indistinguishable).",
    ]


def page(
    about: About,
    evaluation: Evaluation,
    months: Sequence[Month],
    plots: dict[str, list[str]],
    further: Iterable[str] = (),
) -> str:
    """The whole document; ``plots`` are inline SVG by section, ``further`` sections come last."""
    sections = [
        section("Likelihood on events it has never seen", _likelihood(evaluation)),
        section(
            "Calibration",
            _CALIBRATION + _grid(plots["calibration"], "one") + f"<h3>By slice</h3>{_grid(plots['slices'])}",
        ),
        section("Month by month", _MONTHS + _grid(plots["months"], "one") + _months(months)) if months else "",
        section("Each column by itself", _PIT + _grid(plots["pit"])),
        section(
            "Samples over events",
            _SAMPLES + _giveaway(about, evaluation) + _grid(plots["pairs"], "pairs") + _grid(plots["marginals"]),
        ),
        section("Slices", _slices(evaluation)),
        section("Columns", _columns(about, evaluation)),
        *further,
    ]
    title = f"{about.stream}: how good is model {about.model_id}?"
    return _html(title, f"{_head(title, about, evaluation)}{''.join(sections)}")


def document(title: str, said: Sequence[str], about: str, sections: Iterable[str], more: str = "") -> str:
    """A page of the report's style: its title, what it says first, what it is about, and sections of HTML; ``more`` is
    CSS of its own.
    """
    head = f"<h1>{escape(title)}</h1><p class=verdict>{escape(' '.join(said))}</p><p class=muted>{escape(about)}</p>"
    return _html(title, f"{head}{''.join(sections)}", more)


def _html(title: str, body: str, more: str = "") -> str:
    style = files("stream_app.offline.evaluate").joinpath("page.css").read_text() + more
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><style>{style}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    )


def _head(title: str, about: About, evaluation: Evaluation) -> str:
    gain = next(reversed(evaluation.over.items())) if evaluation.over else ("", None)
    figures = [
        (
            "strange at p ≤ 1 %",
            f"{evaluation.alarms.value:.1%}",
            f"{evaluation.alarms.low:.1%} to {evaluation.alarms.high:.1%}; 1 % is meant",
        ),
        (
            f"gain over {gain[0]}" if gain[1] else "log-likelihood",
            _nats(gain[1].value if gain[1] else evaluation.log_prob.value),
            "an event, " + _between(gain[1] or evaluation.log_prob),
        ),
        (
            "told from samples",
            f"{evaluation.two_sample.value:.2f}",
            f"AUC, {_between(evaluation.two_sample)}; 0.5 is best",
        ),
    ]
    cards = "".join(
        f"<li><b>{escape(v)}</b><span>{escape(n)}</span><small>{escape(s)}</small></li>" for n, v, s in figures
    )
    said = " ".join(verdict(evaluation))
    rows = (
        f"{evaluation.scorable:,} {about.rows}, {about.span}; intervals are 95 %, taken over {evaluation.groups} days"
    )
    left = evaluation.rows - evaluation.scorable
    unscored = f" {left:,} could not be scored." if left else ""
    return (
        f"<h1>{escape(title)}</h1><p class=verdict>{escape(said)}</p><ul class=figures>{cards}</ul>"
        f"<p class=muted>{escape(rows)}.{unscored}</p>"
    )


def _likelihood(evaluation: Evaluation) -> str:
    rows = [("this model", _signed(evaluation.log_prob), "")]
    rows += [
        (name, _signed(_minus(evaluation.log_prob, gain)), f"{gain.value:+.2f} ({_unbroken(_between(gain))})")
        for name, gain in evaluation.over.items()
    ]
    rows += [(name, "left out", why) for name, why in evaluation.left_out.items()]
    rows_of = table(("", "nats an event", "the model gains"), rows)
    bits = evaluation.bits_per_dim
    return (
        f"{rows_of}<p class=muted>Density in raw units: {bits.value:.3f} bits per column ({_between(bits, 3)}). Its "
        "size depends on the units; differences between models on the same columns do not.</p>"
    )


def _minus(one: Estimate, gain: Estimate) -> Estimate:
    return Estimate(one.value - gain.value, one.low - gain.value, one.high - gain.value)


def _months(months: Sequence[Month]) -> str:
    rows = [
        (m.name + ("" if m.trained else " (after)"), f"{m.rows:,}", f"{m.log_prob.value:.2f}", _alarms(m.alarms))
        for m in months
    ]
    return table(("month", "events", "nats", "p ≤ 0.01"), rows)


def _slices(evaluation: Evaluation) -> str:
    rows = [
        (
            s.name or "(all)",
            f"{s.rows:,}",
            f"{s.log_prob.value:.2f}",
            _alarms(s.alarms),
            f"{s.worst_column} {s.worst_distance:.2f}",
        )
        for s in evaluation.slices
    ]
    return table(("slice", "events", "nats", "p ≤ 0.01", "least flat column"), rows)


def _giveaway(about: About, evaluation: Evaluation) -> str:
    order = [j for j in evaluation.giveaway.argsort()[::-1][:3].tolist() if evaluation.giveaway[j] > 0.01]
    if evaluation.two_sample.value < 0.55 or not order:
        return ""
    named = ", ".join(f"{about.columns[j]} ({evaluation.giveaway[j]:.2f})" for j in order)
    return f"<p>A classifier tells them apart mostly by {escape(named)}: the AUC lost when the column is shuffled.</p>"


def _columns(about: About, evaluation: Evaluation) -> str:
    rows = [
        (name, f"{off:.3f}", f"{before:.2%}", f"{now:.2%}")
        for name, off, (before, now) in zip(about.columns, evaluation.distance, evaluation.missing, strict=True)
    ]
    findings = "".join(f"<li>{escape(says)}</li>" for says in evaluation.findings)
    rows_of = table(("column", "PIT off flat", "missing in training", "missing here"), rows)
    return f"{rows_of}{f'<ul>{findings}</ul>' if findings else ''}"


def section(title: str, body: str) -> str:
    """A section of the page; ``body`` is HTML."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _grid(plots: Iterable[str], kind: str = "small") -> str:
    return f'<div class="grid {kind}">{"".join(f"<figure>{plot}</figure>" for plot in plots)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _nats(value: float) -> str:
    return f"{value:.2f} nats"


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({_unbroken(_between(estimate))})"


def _between(estimate: Estimate, digits: int = 2) -> str:
    return f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"


def _alarms(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} ({_unbroken(f'{100 * estimate.low:.1f} to {100 * estimate.high:.1f}')})"


def _unbroken(text: str) -> str:
    """On a narrow screen an interval goes to a line of its own."""
    return text.replace(" ", "\u00a0")


_CALIBRATION = (
    "<p>Of ordinary events one in a hundred should have a p-value at or below 0.01, one in ten at or below 0.1, and so "
    "on: the line should follow the dashes. Above them, more is called strange than should be. "
    "The band is what chance would give were events independent; those of one day are not, so a line may leave it.</p>"
)
_MONTHS = (
    "<p>How the model does as time goes on. The shaded months lie in its time of training, of which only days that "
    "neither trained nor calibrated it count. A rise after that is drift.</p>"
)
_PIT = (
    "<p>Where each value falls in what the model expected of it, given the columns before it: flat if it knows the "
    "column well. A hill: it expects too wide a range; a valley: too narrow; a slope: values have moved.</p>"
)
_SAMPLES = (
    "<p><span class=data>Events</span> and <span class=model>samples of the model</span> with the same gaps, "
    "categories, slices and times. They should look alike.</p>"
)
