"""The page: plain words first, then figures, then plots. One file, no scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flowlib.evaluation import ALARM_ALPHA, Estimate, Evaluation
from flowlib.leaning import Lean
from stream_app.reporting import page as reporting
from stream_app.reporting.parts import Block, Bullets, Legend, Opening, Part, Picture, Pictures, Table, Text


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
    """One sentence each on calibration, likelihood, columns that lean and samples; first of all where the model is no
    better than a simpler one.
    """
    return [
        *(_no_better(name, gain) for name, gain in evaluation.over.items() if gain.low <= 0),
        _calibrated(evaluation.alarms),
        _likely(evaluation),
        leans(evaluation.leans),
        _alike(evaluation),
    ]


def _no_better(name: str, gain: Estimate) -> str:
    if gain.high < 0:
        return f"It is worse than {name}: it loses {_nats(-gain.value)} an event ({_between(gain)} gained)."
    return f"It is no better than {name}, as far as these days can tell: {gain.value:+.2f} nats ({_between(gain)})."


def _calibrated(alarms: Estimate) -> str:
    if alarms.low <= ALARM_ALPHA <= alarms.high:
        return "It calls as many ordinary events strange as it should, as far as these days can tell."
    if alarms.value < ALARM_ALPHA:
        return "It calls fewer events strange than it should (careful rather than loud)."
    many = "somewhat more" if alarms.value <= 0.03 else "far more"
    return f"It calls {many} events strange than it should: these rows differ from those it was calibrated on."


def _likely(evaluation: Evaluation) -> str:
    gains = [
        f"{'gains' if gain.value >= 0 else 'loses'} {_nats(abs(gain.value))} an event against {name}"
        for name, gain in evaluation.over.items()
    ]
    sentences = [f"It {', '.join(gains)}" if gains else "No baseline was fitted"]
    sentences += [f"There are no figures against {name}: {why}" for name, why in evaluation.left_out.items()]
    return "".join(f"{sentence}. " for sentence in sentences).strip()


def leans(found: Sequence[Lean]) -> str:
    """The columns that lean, in words.

    >>> said = leans([Lean("TEMP", "lower", 5.0, True), Lean("SO2", "further out", 2.1, False)])
    >>> said.split(" (×")[0], said.split("). ")[-1]
    ('On these days columns lean: TEMP (5.0 ×) lies lower than it expects, SO2 (2.1 ×) lies further out', \
'Beyond these days that is sure of TEMP.')
    """
    if not found:
        return "No column leans: values lie where it expects them."
    ways = dict.fromkeys(lean.way for lean in found)
    said = []
    for way in ways:
        named = [f"{lean.column} ({lean.times:.1f} ×)" for lean in found if lean.way == way]
        said.append(f"{_listed(named)} {'lies' if len(named) == 1 else 'lie'} {way}")
    said[0] += " than it expects"
    sure = [lean.column for lean in found if lean.is_sure]
    beyond = f"Beyond these days that is sure of {_listed(sure)}" if sure else "Beyond these days none of it is sure"
    most = "×: so many times as many values as there should be lie in one twentieth of what it expected"
    return f"On these days columns lean: {', '.join(said)} ({most}). {beyond}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _alike(evaluation: Evaluation) -> str:
    auc, others = evaluation.two_sample.value, evaluation.days_apart
    alike = (
        "cannot be told from"
        if auc < 0.55
        else "are hard to tell from"
        if auc < 0.65
        else "can often be told from"
        if auc < 0.8
        else "are easily told from"
    )
    days = f"; real events of its training are told from these by {others.value:.2f}" if others is not None else ""
    return f"Its samples {alike} real events (AUC {auc:.2f}; 0.5 is indistinguishable{days})."


def page(
    about: About,
    evaluation: Evaluation,
    months: Sequence[Month],
    plots: dict[str, list[str]],
    further: Iterable[Part] = (),
) -> str:
    """The whole document; ``plots`` are inline SVG by section, ``further`` parts come last."""
    parts = [
        Part("Likelihood on events it has never seen", _likelihood(evaluation)),
        Part("Calibration", [Text(_CALIBRATION), _pictures(plots["calibration"], "half")]),
        Part("Calibration by slice", [_pictures(plots["slices"])]),
        *([Part("Month by month", _of_months(months, plots["months"]))] if months else []),
        Part("Each column by itself", [Text(_PIT), _pictures(plots["pit"])]),
        Part("Samples over events", _samples(about, evaluation, plots)),
        Part("Slices", [_slices(evaluation)]),
        Part("Columns", _columns(about, evaluation)),
        *further,
    ]
    return reporting.page(f"{about.stream}: how good is model {about.model_id}?", parts, _opening(about, evaluation))


def _opening(about: About, evaluation: Evaluation) -> Opening:
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
    rows = (
        f"{evaluation.scorable:,} {about.rows}, {about.span}; intervals are 95 %, taken over {evaluation.groups} days"
    )
    left = evaluation.rows - evaluation.scorable
    unscored = f" {left:,} could not be scored." if left else ""
    return Opening(verdict(evaluation), f"{rows}.{unscored}", [(value, name, said) for name, value, said in figures])


def _likelihood(evaluation: Evaluation) -> list[Block]:
    rows = [("this model", _signed(evaluation.log_prob), "")]
    rows += [
        (name, _signed(_minus(evaluation.log_prob, gain)), f"{gain.value:+.2f} ({_unbroken(_between(gain))})")
        for name, gain in evaluation.over.items()
    ]
    rows += [(name, "left out", why) for name, why in evaluation.left_out.items()]
    bits = evaluation.bits_per_dim
    remark = (
        f"Density in raw units: {bits.value:.3f} bits per column ({_between(bits, 3)}). Its size depends on the units; "
        "differences between models on the same columns do not."
    )
    return [Table(("", "nats an event", "the model gains"), rows), Text(remark, is_remark=True)]


def _minus(one: Estimate, gain: Estimate) -> Estimate:
    return Estimate(one.value - gain.value, one.low - gain.value, one.high - gain.value)


def _of_months(months: Sequence[Month], plots: Sequence[str]) -> list[Block]:
    rows = [
        (m.name + ("" if m.trained else " (after)"), f"{m.rows:,}", f"{m.log_prob.value:.2f}", _alarms(m.alarms))
        for m in months
    ]
    table = Table(("month", "events", "nats", "p ≤ 0.01"), rows)
    return [Text(_MONTHS), _pictures(plots, "half"), table]


def _slices(evaluation: Evaluation) -> Table:
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
    return Table(("slice", "events", "nats", "p ≤ 0.01", "least flat column"), rows)


def _samples(about: About, evaluation: Evaluation, plots: dict[str, list[str]]) -> list[Block]:
    return [
        Text(_SAMPLES),
        Legend([("data", "events"), ("model", "samples of the model")]),
        *_giveaway(about, evaluation),
        _pictures(plots["pairs"], "middle"),
        _pictures(plots["marginals"]),
    ]


def _giveaway(about: About, evaluation: Evaluation) -> list[Text]:
    order = [j for j in evaluation.giveaway.argsort()[::-1][:3].tolist() if evaluation.giveaway[j] > 0.01]
    if evaluation.two_sample.value < 0.55 or not order:
        return []
    named = ", ".join(f"{about.columns[j]} ({evaluation.giveaway[j]:.2f})" for j in order)
    return [Text(f"A classifier tells them apart mostly by {named}: the AUC lost when the column is shuffled.")]


def _columns(about: About, evaluation: Evaluation) -> list[Block]:
    rows = [
        (name, f"{off:.3f}", f"{before:.2%}", f"{now:.2%}")
        for name, off, (before, now) in zip(about.columns, evaluation.distance, evaluation.missing, strict=True)
    ]
    table = Table(("column", "PIT off flat", "missing in training", "missing here"), rows)
    return [table, Bullets(evaluation.findings)]


def _pictures(plots: Iterable[str], size: str = "small") -> Pictures:
    return Pictures([Picture(plot) for plot in plots], size)


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
    "Of ordinary events one in a hundred should have a p-value at or below 0.01, one in ten at or below 0.1, and so "
    "on: the line should follow the dashes. Above them, more is called strange than should be. "
    "The band is what chance would give were events independent; those of one day are not, so a line may leave it."
)
_MONTHS = (
    "How the model does as time goes on. The shaded months lie in its time of training, of which only days that "
    "neither trained nor calibrated it count. A rise after that is drift."
)
_PIT = (
    "Where each value falls in what the model expected of it, given the columns before it: flat if it knows the "
    "column well. A hill: it expects too wide a range; a valley: too narrow; a slope: values have moved."
)
_SAMPLES = "Events, and samples of the model with the same gaps, categories, slices and times. They should look alike."
