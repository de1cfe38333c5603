"""How models and figures look in a notebook: plain HTML in its own colours. Nothing that others have written is markup.

>>> table("Model <m>", [("columns", "a & b")], ["a is rounded"])
'<div><p><b>Model &lt;m&gt;</b></p><table><tr><th style="text-align:left">columns</th><td \
style="text-align:left">a &amp; b</td></tr></table><ul><li>a is rounded</li></ul></div>'
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

_LEFT = 'style="text-align:left"'
_NAMED_MAX, _LISTED_MAX = 12, 10


def table(title: str, pairs: Iterable[tuple[str, str]], remarks: Iterable[str] = ()) -> str:
    """A title, names with what they are, and a list of remarks."""
    rows = "".join(f"<tr><th {_LEFT}>{escape(name)}</th><td {_LEFT}>{escape(text)}</td></tr>" for name, text in pairs)
    told = list(remarks)
    shown = told[:_LISTED_MAX] + ([f"and {len(told) - _LISTED_MAX:,} more"] if len(told) > _LISTED_MAX else [])
    items = "".join(f"<li>{escape(item)}</li>" for item in shown)
    return f"<div><p><b>{escape(title)}</b></p><table>{rows}</table>{f'<ul>{items}</ul>' if items else ''}</div>"


def named(names: Iterable[str]) -> str:
    """A list of names, cut where it is long; a dash for none."""
    known = list(names)
    more = f" and {len(known) - _NAMED_MAX:,} more" if len(known) > _NAMED_MAX else ""
    return ", ".join(known[:_NAMED_MAX]) + more or "–"


def of_density(density: Any) -> str:
    """What a :class:`flowlib.Density` is of and how it scores, and what is peculiar about its columns."""
    encoder, calibration = density.encoder, density.calibration
    pairs = [
        ("numbers", named(encoder.spec.numeric)),
        ("categories", named(encoder.spec.categorical)),
        ("flow", density.flow_name),
        ("given", named(["gaps and categories", *encoder.config.context])),
        ("calibrated on", f"{len(calibration.scores):,} rows"),
        ("slices with p-values of their own", f"{len(calibration.tails.names):,}"),
        ("scored by", density.engine.name),
    ]
    return table(f"Density {density.model_id}", pairs, [finding.says for finding in encoder.findings])


def of_evaluation(evaluation: Any) -> str:
    """The figures of a :class:`flowlib.Evaluation` with their intervals."""
    pairs = [
        ("rows", f"{evaluation.scorable:,} of {evaluation.rows:,} could be scored, on {evaluation.groups:,} days"),
        ("nats a row", _figure(evaluation.log_prob)),
        *((f"gain over {name}", _figure(gain)) for name, gain in evaluation.over.items()),
        *((f"gain over {name}", f"left out: {why}") for name, why in evaluation.left_out.items()),
        ("p ≤ 1 %", " ".join([f"{evaluation.alarms.value:.2%}", _interval(evaluation.alarms)])),
        ("told from samples (AUC)", _figure(evaluation.two_sample)),
        ("slices", f"{len(evaluation.slices):,}"),
    ]
    return table("Evaluation", pairs, evaluation.findings)


def of_explanation(explanation: Any) -> str:
    """An :class:`flowlib.Explanation`: its sentences, the nearest ordinary row, and the nats of each column."""
    pairs = [(name, f"{nats:+.2f} nats") for name, nats in explanation.parts.items()]
    return table(explanation.nearest.sentence(), pairs, explanation.sentences)


def _figure(estimate: Any) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _interval(estimate: Any) -> str:
    return f"({estimate.low:.2%} to {estimate.high:.2%})"
