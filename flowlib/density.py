"""A density over events: encoder, flow and calibration, fitted together and scored together."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from flowlib import native, notebook
from flowlib.beside import Beside, distances, fit_beside, weights_of
from flowlib.calibration import Calibration, Draw
from flowlib.channels import Channels
from flowlib.encoder.encoded import Encoded
from flowlib.encoder.encoder import Encoder
from flowlib.encoder.spec import FeatureSpec
from flowlib.engines import ROWS, Engine, build
from flowlib.pit import HALF_LOG_TWO_PI, pit_of
from flowlib.reference.fit import column_kinds, fit_reference
from flowlib.reference.reference import VARIES, Reference
from flowlib.table import Bools, Floats, Ints, Singles, Table
from flowlib.ties import draws, key_for
from flowlib.weights import Weights

if TYPE_CHECKING:  # PyTorch comes with them: who scores stored weights by the kernel does without
    from flowlib.fit_config import FitConfig
    from flowlib.flows import Flow


@dataclass(frozen=True)
class Scores:
    """Scores of n rows. Where ``scorable`` is False p_value is 1, pit ½ and the rest 0, without meaning.

    Attributes:
        log_prob: ``(n,)`` float64, nats in raw space.
        parts: ``(n, d + k)`` float64 nats, of each numeric and each categorical column; they sum to log_prob.
        z: ``(n, d)`` float32 base coordinates; 0 where missing.
        features: ``(n, d)`` float32, columns in feature space; 0 where missing.
        levels: ``(n, k)`` int64 codes of the categories.
        distance: ``(n, p)`` ≥ 0; see :mod:`flowlib.calibration`.
        surprise: ``(n,)`` ≥ 0, log_prob and distances joined.
        p_value: ``(n,)`` in (0, 1], of the surprise.
        pooled: ``(n,)`` bool: all slices together say more of the p-value than the slice's own reference rows.
        scorable: ``(n,)`` bool.
        missing: ``(n, d)`` bool.
    """

    log_prob: Floats
    parts: Floats
    z: Singles
    features: Singles
    levels: Ints
    distance: Floats
    surprise: Floats
    p_value: Floats
    pooled: Bools
    scorable: Bools
    missing: Bools

    @cached_property
    def pit(self) -> Singles:
        """``(n, d)`` float32, Φ(z)."""
        return pit_of(self.z)


@dataclass(frozen=True)
class Density:
    """A fitted model, with the engine that scores it.

    Attributes:
        encoder, weights, calibration: its parts.
        manifest: facts that travel with the model, JSON.
        model_id: of its artifact.
        channels, references: what drift is measured in and, for each slicing, against; None and () before
            :meth:`with_reference`.
        engine: scores; ``auto`` of :func:`flowlib.engines.build` unless :meth:`with_engine` chose another.

    >>> from flowlib import FeatureSpec, FitConfig, MaximumLikelihood, Table, TrainConfig
    >>> x = np.random.default_rng(0).standard_normal((2_000, 2))
    >>> train, valid, held_out = Table.of(x[:1_000]), Table.of(x[1_000:1_200]), Table.of(x[1_200:])
    >>> config = FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=20)))
    >>> density = Density.fit(FeatureSpec(("x", "y")), train, valid, held_out, seed=0, config=config)
    >>> scores = density.score(Table.of([[0.0, 0.0], [9.0, 0.0]]))
    >>> scores.p_value <= 0.01
    array([False,  True])
    """

    encoder: Encoder
    weights: Weights
    calibration: Calibration
    manifest: dict[str, Any]
    model_id: str = "unsigned"
    channels: Channels | None = None
    references: tuple[Reference, ...] = ()
    engine: Engine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", build(self.weights))

    def with_engine(self, name: str | Engine) -> Density:
        """The same model scored by another engine, by name or made already; raises EngineError as
        :func:`flowlib.engines.build` does.
        """
        other = copy.copy(self)
        engine = name if isinstance(name, Engine) else build(self.weights, name)
        object.__setattr__(other, "engine", engine)
        return other

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook.of_density(self)

    @property
    def flow(self) -> Flow:
        """The module, by PyTorch."""
        return self.weights.flow

    @property
    def flow_name(self) -> str:
        """Family of the flow."""
        return self.weights.family

    @property
    def spec(self) -> FeatureSpec:
        """Column names."""
        return self.encoder.spec

    @classmethod
    def fit(
        cls,
        spec: FeatureSpec,
        train: Table,
        valid: Table,
        calibration: Table,
        seed: int,
        config: FitConfig | None = None,
        warm_start: Density | None = None,
        manifest: dict[str, Any] | None = None,
    ) -> Density:
        """Fit encoder and flow on ``train``, stop on ``valid``, calibrate on ``calibration``: three disjoint sets.

        Args:
            spec: columns of the tables.
            train, valid, calibration: rows.
            seed: of first weights and training; the same arguments give the same model on one machine.
            config: settings.
            warm_start: an earlier model, to start from. Its encoder is kept where :func:`flowlib.warm_start.goes_on`
                says so, its weights where the family is the same too; leave it out where a column's range has moved by
                orders of magnitude.
            manifest: facts to travel with the model, JSON.

        Raises:
            ValueError: no usable rows in one of the sets, or a wrong shape.
        """
        from flowlib import fitting

        encoder, flow, config = fitting.fit(spec, train, valid, seed, config, warm_start)
        beside = fit_beside(
            config.distance, train.numeric, lambda: fitting.features(encoder, train.numeric, valid.numeric), seed
        )
        weights = Weights.of(config.flow_name, flow)  # compared as where the model will be loaded: it scores as here
        raw = _Uncalibrated.of(encoder, build(weights), beside, calibration)
        reference = _reference(raw, beside, calibration, seed, config.weight)
        return cls(encoder, weights, reference, dict(manifest or {}))

    def with_reference(
        self,
        held_out: Table,
        pane_ms: int,
        arrivals: Table | None = None,
        known: Table | None = None,
        newest_ms: int = 0,
    ) -> Density:
        """The same model, with what is normal in panes of held-out rows; raises ValueError where none is scorable.

        Args:
            held_out: rows that trained nothing.
            pane_ms: length of a pane.
            arrivals, known, newest_ms: see :func:`flowlib.reference.fit.fit_reference`.
        """
        held_out = held_out.take(self.score(held_out).scorable)
        if not len(held_out):
            raise ValueError("none of the held-out rows can be scored")
        scores, other = self.score(held_out), copy.copy(self)
        known = held_out if known is None else known
        kinds = column_kinds(known, self.encoder.findings, self.spec.numeric)
        channels = Channels.fit(scores, tuple(len(levels) for levels in self.encoder.levels), kinds == VARIES)
        events = channels.of(scores)
        zone, slicings = self.encoder.config.zone, 1 if held_out.others is None else 1 + held_out.others.shape[1]
        references = [
            fit_reference(channels, events, held_out, kinds, pane_ms, arrivals, known, newest_ms, slicing, zone)
            for slicing in range(slicings)
        ]
        object.__setattr__(other, "channels", channels)
        object.__setattr__(other, "references", tuple(references))
        return other

    def recalibrated(self, calibration: Table, seed: int) -> Density:
        """The same encoder and flow with p-values from other rows; its references are to be fitted anew.

        Args:
            calibration: rows that trained nothing, of now.
            seed: of the draws among equal scores.

        Raises:
            ValueError: none of the rows can be scored.
        """
        beside, other = self.calibration.beside, copy.copy(self)
        raw = _Uncalibrated.of(self.encoder, self.engine, beside, calibration)
        reference = _reference(raw, beside, calibration, seed, float(self.calibration.weights[0]))
        changed = {"calibration": reference, "model_id": "unsigned"}
        for name, value in {**changed, "channels": None, "references": ()}.items():
            object.__setattr__(other, name, value)
        return other

    def score(self, table: Table) -> Scores:
        """Score rows; see :class:`Scores`. A row's result does not depend on the rows beside it."""
        raw = _Uncalibrated.of(self.encoder, self.engine, self.calibration.beside, table)
        ok, n = raw.scorable, len(table)
        every, slices = bool(ok.all()), table.slices if table.coded is None else table.coded
        if every:  # as in most batches
            surprise = self.calibration.surprise(raw.log_prob, raw.distance)
            p, pooled = self.calibration.p_values(surprise, slices, _draw(table, None, self.calibration.key))
        else:
            rows, surprise, p, pooled = np.flatnonzero(ok), np.zeros(n), np.ones(n), np.zeros(n, dtype=bool)
            surprise[ok] = self.calibration.surprise(raw.log_prob[ok], raw.distance[ok])
            among = _draw(table, rows, self.calibration.key)
            some = slices[ok] if isinstance(slices, np.ndarray) else slices.take(ok)
            p[ok], pooled[ok] = self.calibration.p_values(surprise[ok], some, among)
        return Scores(
            raw.log_prob, raw.parts, raw.z, raw.features, raw.levels, raw.distance, surprise, p, pooled, ok, raw.missing
        )

    def sample(self, n: int, seed: int, times: Ints | None = None) -> Table:
        """n rows drawn from the model, see :func:`flowlib.sampling.draw`; gaps only where calibration rows had some."""
        from flowlib.sampling import draw

        whole = self.calibration.pit_reference.sum(axis=1) == len(self.calibration.nll)
        return draw(self.encoder, self.flow, n, seed, whole, times)

    def sample_given(self, table: Table, seed: int) -> Table:
        """Numbers drawn for each row given its gaps, categories, slice and time."""
        from flowlib.sampling import draw_given

        return draw_given(self.encoder, self.flow, table, seed)

    def pushed_out(self, table: Table, by: float) -> Table:
        """The rows so many times as far from the middle of the model, each in the direction in which it lies."""
        from flowlib.sampling import push_out

        return push_out(self.encoder, self.flow, table, self.score(table).z, by)


@dataclass(frozen=True)
class _Uncalibrated:
    """Scores of n rows before they are compared with the calibration's, and the features they came from."""

    log_prob: Floats
    parts: Floats
    distance: Floats
    z: Singles
    scorable: Bools
    missing: Bools
    features: Singles
    levels: Ints

    @classmethod
    def of(cls, encoder: Encoder, engine: Engine, beside: Beside, table: Table) -> _Uncalibrated:
        """A span of rows at a time: the context of all may be many times as large as the table."""
        rows = max(encoder.chunk // ROWS, 1) * ROWS
        if len(table) <= rows:
            return cls._of(encoder, engine, beside, table)
        spans = [table.span(start, start + rows) for start in range(0, len(table), rows)]
        parts = [cls._of(encoder, engine, beside, span) for span in spans]
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    @classmethod
    def _of(cls, encoder: Encoder, engine: Engine, beside: Beside, table: Table) -> _Uncalibrated:
        encoded = encoder.encode(table)
        z, ladj = engine(encoded.features, encoded.context)
        if native.loops is not None and not encoded.has_tails:
            raw = cls._added(z, ladj, encoded)
        else:
            raw = cls._together(z, ladj, encoded)
        if not beside:
            return replace(raw, distance=raw.distance[:, None])
        apart = distances(beside, table.numeric, encoded.features, encoded.tail_nats.sum(axis=1))
        apart -= encoded.category_log_prob.sum(axis=1)[:, None]
        return replace(raw, distance=np.where(raw.scorable[:, None], apart, 0.0))

    @classmethod
    def _added(cls, z: Singles, ladj: Singles, encoded: Encoded) -> _Uncalibrated:
        """Of rows without values beyond their limits, with the distance of the base; in one pass."""
        assert native.loops is not None
        (n, d), k = z.shape, encoded.category_log_prob.shape[1]
        parts, base, (log_prob, distance), ok = (
            np.empty((n, d + k)),
            np.empty_like(z),
            np.empty((2, n)),
            np.empty(n, bool),
        )
        # One row may stand for all.
        beside = encoded.ladj if not encoded.ladj.strides[0] else np.ascontiguousarray(encoded.ladj)
        given = beside, encoded.category_log_prob, encoded.scorable, encoded.missing, HALF_LOG_TWO_PI
        native.loops.add_parts(
            np.ascontiguousarray(z), np.ascontiguousarray(ladj), *given, parts, base, log_prob, distance, ok
        )
        return cls(log_prob, parts, distance, base, ok, encoded.missing, encoded.features, encoded.levels)

    @classmethod
    def _together(cls, z: Singles, ladj: Singles, encoded: Encoded) -> _Uncalibrated:
        """The same of any rows."""
        pushed = _pushed_out(z, encoded)
        numeric = ladj.astype(np.float64) - 0.5 * pushed**2 - HALF_LOG_TWO_PI + encoded.ladj
        parts = np.concatenate([numeric, encoded.category_log_prob], axis=1)
        ok = encoded.scorable & np.isfinite(parts).all(axis=1)
        parts = np.where(ok[:, None], parts, 0.0)
        z = np.where(encoded.missing | ~ok[:, None], 0.0, pushed).astype(np.float32)
        distance = (z.astype(np.float64) ** 2).sum(axis=1)
        return cls(parts.sum(axis=1), parts, distance, z, ok, encoded.missing, encoded.features, encoded.levels)


def _pushed_out(z: Singles, encoded: Encoded) -> Floats:
    """z whose ½z² includes the nats that values beyond their limits pay, on the side the value lies on."""
    wide = z.astype(np.float64)
    if not encoded.has_tails:
        return wide
    far = np.copysign(np.sqrt(wide * wide + 2.0 * encoded.tail_nats), encoded.features)
    return np.where(encoded.tail_nats > 0, far, wide)


def _draw(table: Table, rows: Ints | None, key: int) -> Draw:
    """Draws for some of these rows of a table, or of all, which stand between equal scores."""
    return lambda index: draws(table, key, index if rows is None else rows[index])


def _reference(raw: _Uncalibrated, beside: Beside, table: Table, seed: int, weight: float) -> Calibration:
    """What the calibration rows look like; rows that cannot be scored are left out."""
    key = key_for(table, seed)
    usable = raw.scorable
    if not usable.any():
        raise ValueError("none of the calibration rows can be scored")
    return Calibration.fit(
        beside,
        raw.log_prob[usable],
        raw.distance[usable],
        raw.z[usable],
        raw.missing[usable],
        table.slices[usable],
        features=raw.features[usable],
        parts=raw.parts[usable],
        draws=draws(table.take(usable), key),
        key=key,
        weights=weights_of(beside, weight, -raw.log_prob[usable], raw.distance[usable]),
    )
