"""Table to model features in measure: column maps, missing masks, categories, context, with the exact log-Jacobian.

A row is modelled as ``p(m) · Π_k p(c_k) · p(x_obs | m, c, t)``: missing mask and categories have smoothed factors of
their own and condition the flow over the numbers, as hour, weekday, season and slice do where asked for. A missing
value is an independent standard normal: noise in training, 0 in scoring with ``log N(0; 0, 1)`` taken off.

Rounded columns are trained spread over their cells and scored at the centre: ``log_prob`` is a density per unit of the
column, ``resolution · exp(log_prob)`` the probability of the cell. Beyond its limit a column enters the flow at the
limit and pays for the rest (:func:`~flowlib.encoder.fitting.tail_nats`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from flowlib import native
from flowlib.copies import REPEATED, repeated
from flowlib.encoder.columns import MAPS, ColumnMap, Standard
from flowlib.encoder.context import CLOCK_WIDTH, YEAR, clock_columns, frequent_slices, is_year, join_context, seen_days
from flowlib.encoder.encoded import Encoded
from flowlib.encoder.findings import Finding, findings, many_levels, resolution, too_fine
from flowlib.encoder.fitting import fit_column, fit_levels, limits, tail_nats
from flowlib.encoder.grids import Grids
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.pit import HALF_LOG_TWO_PI
from flowlib.table import Bools, Floats, Ints, Objects, Singles, Table

_CHUNK_VALUES = 1 << 18
"""Values encoded at a time, 2 MiB."""

_MAPPED_VALUES = 1 << 15
"""Values mapped at a time: larger intermediate arrays cost more in allocation than they save in calls."""

_CONTEXT_VALUES = 1 << 20
"""Context values made at a time, 4 MiB: categories of many levels are wide."""

_ROWS_MIN = 512
"""Rows encoded at once however wide the context is."""


@dataclass(frozen=True)
class Encoder:
    """Fitted column transforms.

    Attributes:
        spec: column names.
        config: settings.
        maps: for each kind in use the ``(m,)`` columns it has and their map.
        resolution: ``(d,)`` step of the grid of rounded columns, 0 for none.
        limit: ``(d,)`` features beyond ± this enter the flow at it.
        missing_share: ``(d,)`` smoothed share of missing values.
        levels: for each categorical column its known levels; code ``len(levels)`` stands for all others.
        rare_levels: for each categorical column the number of others in training.
        level_log_prob: for each categorical column ``(len(levels) + 1,)`` smoothed log probabilities, of each known
            level and of any single other one, of which there are ``rare_levels + 1``.
        slices: slices with codes of their own, from 1 on.
        slice_table: ``(slices + 1, e)`` float32 learnt rows, the first for code 0; e is 0 without that context.
        grids: the values that columns can take, for draws.
        days: ``(366,)`` days of the year of training rows.
        findings: peculiar columns.
        chunk: rows encoded at a time.

    >>> rng = np.random.default_rng(0)
    >>> rows = Table.of(np.exp(rng.standard_normal((500, 1))), rng.choice(["north", "south"], (500, 1)).astype(object))
    >>> encoder = Encoder.fit(FeatureSpec(("amount",), ("shop",)), rows)
    >>> encoder.maps[0][1].kind, sorted(encoder.levels[0]), encoder.context_width
    ('log', ['north', 'south'], 4)
    >>> encoded = encoder.encode(rows)
    >>> bool(np.allclose(encoder.decode(encoded.features), rows.numeric, rtol=1e-4))
    True
    """

    spec: FeatureSpec
    config: EncoderConfig
    maps: tuple[tuple[Ints, ColumnMap], ...]
    resolution: Floats
    limit: Floats
    missing_share: Floats
    levels: tuple[tuple[str | None, ...], ...]
    rare_levels: tuple[int, ...]
    level_log_prob: tuple[Floats, ...]
    slices: tuple[str, ...]
    slice_table: Singles
    grids: Grids
    days: Bools
    findings: tuple[Finding, ...]
    _level_codes: tuple[dict[str | None, int], ...] = field(init=False, repr=False, compare=False)
    _slice_codes: dict[str, int] = field(init=False, repr=False, compare=False)
    chunk: int = field(init=False, repr=False, compare=False)
    _log_missing: Floats = field(init=False, repr=False, compare=False)
    _log_present: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = tuple({level: i for i, level in enumerate(levels)} for levels in self.levels)
        object.__setattr__(self, "_level_codes", codes)
        object.__setattr__(self, "_slice_codes", {name: i for i, name in enumerate(self.slices, 1)})
        d = max(len(self.spec.numeric), 1)
        wide = max(_ROWS_MIN, _CONTEXT_VALUES // (d + sum(len(levels) + 1 for levels in self.levels)))
        object.__setattr__(self, "chunk", max(1, min(_CHUNK_VALUES // d, wide)))
        with np.errstate(divide="ignore", invalid="ignore"):  # a state that is refused afterwards may hold anything
            object.__setattr__(self, "_log_missing", np.log(self.missing_share))
            object.__setattr__(self, "_log_present", np.log1p(-self.missing_share))

    @property
    def context_width(self) -> int:
        """Columns of the context."""
        one_hot = sum(len(levels) + 1 for levels in self.levels)
        clock = sum(CLOCK_WIDTH.get(kind, 0) for kind in self.config.context)
        return len(self.spec.numeric) + one_hot + clock + int(self.slice_table.shape[1])

    @cached_property
    def knows_season(self) -> bool:
        """Whether training rows have seen the year; until then the context ``season`` says nothing."""
        return is_year(self.days)

    @classmethod
    def fit(cls, spec: FeatureSpec, table: Table, config: EncoderConfig | None = None) -> Encoder:
        """Fit on training rows; the same rows give the same encoder. Raises ValueError on a wrong shape or no rows."""
        config = config or EncoderConfig()
        spec.check(table)
        if not len(table):
            raise ValueError("no rows to fit the encoder on")
        values = table.numeric.copy()
        values[~np.isfinite(values)] = np.nan
        columns = [column[~np.isnan(column)] for column in values.T]
        steps = np.array([resolution(x) if config.dequantize else 0.0 for x in columns])
        chosen = [fit_column(x, float(step), config.maps) for x, step in zip(columns, steps, strict=True)]
        missing = np.isnan(table.numeric)
        tables = [fit_levels(table.categories[:, k]) for k in range(len(spec.categorical))]
        slices = frequent_slices(table.slices) if "slice" in config.context else ()
        maps = _grouped(chosen)
        return cls(
            spec,
            config,
            maps,
            steps,
            limits(chosen, columns),
            (missing.sum(axis=0) + 0.5) / (len(table) + 1.0),
            tuple(t.known for t in tables),
            tuple(t.rare for t in tables),
            tuple(t.log_prob for t in tables),
            slices,
            np.zeros((len(slices) + 1, config.embedding if "slice" in config.context else 0), np.float32),
            Grids.fit(columns, steps),
            seen_days(table.time_ms, config.zone),
            findings(spec.numeric, values, steps, [column_map.kind for column_map in chosen])
            + too_fine(spec.numeric, values, lambda rows: _mapped(maps, np.nan_to_num(rows))[0].astype(np.float32))
            + many_levels(spec.categorical, [(len(t.known), t.rare) for t in tables])
            + repeated(table),
        )

    def told(self, table: Table) -> Encoder:
        """The same encoder for the training on other rows, with what is told of their copies and their days."""
        found = tuple(finding for finding in self.findings if finding.kind != REPEATED) + repeated(table)
        days = seen_days(table.time_ms, self.config.zone, self.days)
        is_same = found == self.findings and (days == self.days).all()
        return self if is_same else replace(self, findings=found, days=days)

    def encode(self, table: Table) -> Encoded:
        """Encode rows; see :class:`Encoded`. Never returns a non-finite value; raises ValueError on a wrong shape."""
        self.spec.check(table)
        if len(table) <= self.chunk:
            return self._encode(table)
        parts = [self._encode(table.span(start, start + self.chunk)) for start in range(0, len(table), self.chunk)]
        return Encoded(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Encoded)))

    def _encode(self, table: Table) -> Encoded:
        features, ladj, tails, missing, scorable = self.numbers(table.numeric)
        levels, category_log_prob = self._levels(table.categories)
        codes = self._codes(table)
        blocks = clock_columns(self.config.context, table.time_ms, self.config.zone, self.knows_season)
        blocks += [self.slice_table[codes]] if self.slice_table.shape[1] else []
        context = join_context(missing, levels, [len(column) + 1 for column in self.levels], blocks)
        return Encoded(features, context, ladj, tails, category_log_prob, levels, codes, missing, scorable)

    def numbers(self, numeric: Floats) -> tuple[Singles, Floats, Floats, Bools, Bools]:
        """``features``, ``ladj``, ``tail_nats``, ``missing`` and ``scorable`` of :class:`Encoded`, which raw values
        ``(n, d)`` decide alone, column by column.
        """
        return self._plain(numeric) or self._numbers(numeric)

    def _numbers(self, numeric: Floats) -> tuple[Singles, Floats, Floats, Bools, Bools]:
        rows = max(_MAPPED_VALUES // max(numeric.shape[1], 1), 1)
        if len(numeric) <= rows:
            return self._few_numbers(numeric)
        parts = [self._few_numbers(numeric[start : start + rows]) for start in range(0, len(numeric), rows)]
        features, ladj, tails, missing, scorable = map(np.concatenate, zip(*parts, strict=True))
        return features, ladj, tails, missing, scorable

    def _few_numbers(self, numeric: Floats) -> tuple[Singles, Floats, Floats, Bools, Bools]:
        missing = np.isnan(numeric)
        value, ladj, scorable = self._mapped(numeric, missing)
        features = np.clip(value, -self.limit, self.limit).astype(np.float32)
        return features, ladj, tail_nats(value, self.limit), missing, scorable

    def _plain(self, numeric: Floats) -> tuple[Singles, Floats, Floats, Bools, Bools] | None:
        """The same of rows all of whose values are finite and within their limits, by maps that only shift and scale,
        as in most batches; else None.
        """
        if native.loops is None or self._shift_scale is None or not numeric.size:
            return None
        (shift, scale, slope, limit), n = self._shift_scale, len(numeric)
        features = np.empty(numeric.shape, dtype=np.float32)
        if not native.loops.standardised(np.ascontiguousarray(numeric, np.float64), shift, scale, limit, features):
            return None
        ladj, tails = np.broadcast_to(slope, numeric.shape), np.broadcast_to(0.0, numeric.shape)
        return features, ladj, tails, np.zeros(numeric.shape, dtype=bool), np.ones(n, dtype=bool)

    @cached_property
    def _shift_scale(self) -> tuple[Floats, Floats, Floats, Floats] | None:
        """``(d,)`` shifts, scales, log-slopes and limits, where no map does more."""
        if not all(isinstance(column_map, Standard) for _, column_map in self.maps):
            return None
        shift, scale = np.zeros((2, len(self.spec.numeric)))
        for columns, column_map in self.maps:
            shift[columns], scale[columns] = column_map.shift, column_map.scale
        return shift, scale, -np.log(scale) + self._log_present, np.ascontiguousarray(self.limit)

    def _mapped(self, numeric: Floats, missing: Bools) -> tuple[Floats, Floats, Bools]:
        """Values that are not limited and log-slopes ``(n, d)``, 0 where there are none; which rows are scorable."""
        finite = np.isfinite(numeric)
        if finite.all() and numeric.size:  # as in most batches
            value, slope = _mapped(self.maps, numeric)
            return value, slope + self._log_present, np.ones(len(numeric), dtype=bool)
        value, slope = _mapped(self.maps, np.where(finite, numeric, 0.0))
        scorable = np.asarray((finite | missing).all(axis=1) & ~missing.all(axis=1))
        ladj = np.where(missing, HALF_LOG_TWO_PI + self._log_missing, slope + self._log_present)
        value = np.where(missing | ~scorable[:, None], 0.0, value)
        return value, np.where(scorable[:, None], ladj, 0.0), scorable

    def cells(self, table: Table) -> tuple[Singles, Singles]:
        """Features at the lower and upper end of each value's cell, ``(n, d)``, equal where nothing is rounded."""
        self.spec.check(table)
        x = np.where(np.isfinite(table.numeric), table.numeric, 0.0)
        ends = (_mapped(self.maps, x + side * self.resolution)[0] for side in (-0.5, 0.5))
        low, high = (np.clip(end, -self.limit, self.limit).astype(np.float32) for end in ends)
        return low, high

    def dequantize(self, table: Table, generator: np.random.Generator) -> Table:
        """The rows with rounded values spread evenly over their cells, in raw space."""
        self.spec.check(table)
        return table.with_numeric(table.numeric + self.resolution * generator.uniform(-0.5, 0.5, table.numeric.shape))

    def decode(self, features: Floats) -> Floats:
        """Features ``(n, d)`` back to raw values."""
        raw = np.empty(features.shape, dtype=np.float64)
        for columns, column_map in self.maps:
            raw[:, columns] = column_map.inverse(features[:, columns].astype(np.float64))
        return raw

    def _levels(self, categories: Objects) -> tuple[Ints, Floats]:
        """Codes of the levels and their log-probabilities, ``(n, k)``."""
        codes = np.empty((len(categories), len(self.levels)), dtype=np.int64)
        log_prob = np.empty((len(categories), len(self.levels)))
        for k, column in enumerate(self._level_codes):
            codes[:, k] = [column.get(value, len(column)) for value in categories[:, k].tolist()]
            log_prob[:, k] = self.level_log_prob[k][codes[:, k]]
        return codes, log_prob

    def _codes(self, table: Table) -> Ints:
        if not self._slice_codes:
            return np.zeros(len(table), dtype=np.int64)
        if table.coded is not None:
            return table.coded.looked_up(self._slice_codes, 0)[table.coded.codes]
        return np.array([self._slice_codes.get(name, 0) for name in table.slices.tolist()], dtype=np.int64)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON part and arrays, for the artifact."""
        meta = {
            "numeric": list(self.spec.numeric),
            "categorical": list(self.spec.categorical),
            "levels": [list(levels) for levels in self.levels],
            "rare_levels": list(self.rare_levels),
            "slices": list(self.slices),
            "config": {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.config).items()},
            "maps": [[column_map.kind, columns.tolist()] for columns, column_map in self.maps],
            "findings": [finding.to_state() for finding in self.findings],
        }
        arrays = {"resolution": self.resolution, "limit": self.limit, "missing_share": self.missing_share}
        arrays |= {f"level_log_prob.{k}": values for k, values in enumerate(self.level_log_prob)}
        for _, column_map in self.maps:
            arrays |= {f"{column_map.kind}.{name}": array for name, array in column_map.arrays().items()}
        return meta, arrays | self.grids.arrays() | {"slice_table": self.slice_table, "days": self.days}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: Mapping[str, Any]) -> Encoder:
        """Inverse of :meth:`to_state`; raises ValueError, TypeError or KeyError on parts that do not fit."""
        settings: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in meta["config"].items()}
        levels = tuple(tuple(table) for table in meta["levels"])
        encoder = cls(
            FeatureSpec(tuple(meta["numeric"]), tuple(meta["categorical"])),
            EncoderConfig(**settings),
            tuple(_map_of(kind, columns, arrays) for kind, columns in meta["maps"]),
            arrays["resolution"],
            arrays["limit"],
            arrays["missing_share"],
            levels,
            tuple(meta["rare_levels"]),
            tuple(arrays[f"level_log_prob.{k}"] for k in range(len(levels))),
            tuple(meta["slices"]),
            arrays["slice_table"],
            Grids.of_arrays(arrays, len(meta["numeric"])),
            arrays["days"],
            tuple(Finding.from_state(state) for state in meta["findings"]),
        )
        encoder.check()
        return encoder

    def check(self) -> None:
        """Raise ValueError on parts that do not fit each other; a signed state may still be senseless."""
        d, per_column = len(self.spec.numeric), (self.resolution, self.limit, self.missing_share)
        if sorted(j for columns, _ in self.maps for j in columns.tolist()) != list(range(d)):
            raise ValueError("encoder: each numeric column needs exactly one map")
        if any(a.shape != (d,) or a.dtype != np.float64 or not np.isfinite(a).all() for a in per_column):
            raise ValueError("encoder: resolution, limit and missing_share must be finite float64, one for each column")
        share_is_inside = (self.missing_share > 0).all() and (self.missing_share < 1).all()
        if not ((self.resolution >= 0).all() and (self.limit > 0).all() and share_is_inside):
            raise ValueError("encoder: resolutions must be at least 0, limits positive, missing shares inside (0, 1)")
        lengths = [(len(levels) + 1,) for levels in self.levels]
        if len(lengths) != len(self.spec.categorical) or [t.shape for t in self.level_log_prob] != lengths:
            raise ValueError("encoder: tables of the categories do not fit their levels")
        counts = self.rare_levels
        if len(counts) != len(lengths) or any(not isinstance(count, int) or count < 0 for count in counts):
            raise ValueError("encoder: rare_levels must be a whole number for each categorical column, 0 at least")
        shape = (len(self.slices) + 1, self.config.embedding if "slice" in self.config.context else 0)
        if self.slice_table.shape != shape or self.slice_table.dtype != np.float32:
            raise ValueError(f"encoder: slice_table must be float32 of shape {shape}")
        if self.days.shape != (YEAR,) or self.days.dtype != np.bool_:
            raise ValueError(f"encoder: days must be bool of shape ({YEAR},)")


def _grouped(chosen: list[ColumnMap]) -> tuple[tuple[Ints, ColumnMap], ...]:
    groups = []
    for name, kind in MAPS.items():
        columns = [j for j, column_map in enumerate(chosen) if column_map.kind == name]
        if columns:
            groups.append((np.array(columns, dtype=np.int64), kind.stack([chosen[j] for j in columns])))
    return tuple(groups)


def _mapped(maps: tuple[tuple[Ints, ColumnMap], ...], x: Floats) -> tuple[Floats, Floats]:
    if len(maps) == 1:
        return maps[0][1].forward(x)
    value, slope = np.empty_like(x), np.empty_like(x)
    for columns, column_map in maps:
        value[:, columns], slope[:, columns] = column_map.forward(np.ascontiguousarray(x[:, columns]))
    return value, slope


def _map_of(kind: str, columns: list[int], arrays: Mapping[str, Any]) -> tuple[Ints, ColumnMap]:
    prefix = f"{kind}."
    column_map = MAPS[kind](**{name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)})
    column_map.check(len(columns))
    return np.array(columns, dtype=np.int64), column_map
