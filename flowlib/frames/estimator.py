"""``FlowDensity``: the density as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, Self

import narwhals.stable.v2 as nw
import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from flowlib import artifact
from flowlib.copies import newest, units
from flowlib.density import Density
from flowlib.encoder.context import CLOCK_WIDTH
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.explain.explanation import Explanation, explain
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.flows import FLOWS
from flowlib.frames.frames import FrameLayout, frame_of, is_frame, layout_of, table_of
from flowlib.table import Floats, Ints, Table
from flowlib.training import TrainConfig
from flowlib.whole import export_density

MAPS = ("standard",)
"""Kinds of column map of an anomaly detector: straight lines, so that what is far outside the rows fitted stays far.
Quantiles and logarithms bend it into the crowd where columns have ties and heavy tails, though they gain likelihood."""

WEIGHTS = {"mixture": 1.0, "columns": 0.7, "base": 1.0}
"""Of each distance beside the likelihood in the surprise (``flowlib/FINDINGS.md``)."""

_ROWS_MIN = 3
_VALIDATION_SHARE = 0.1
_STEPS_MIN, _STEPS_MAX, _STEPS_A_ROW = 100, 1_500, 0.5
_KEY = artifact.Ed25519PrivateKey.from_private_bytes(bytes(32))
"""Signs pickled models, so that they go through artifacts like all others. It is public and proves nothing."""


class FlowDensity(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """Exact likelihoods of tabular rows by a normalizing flow, calibrated on rows held out.

    Takes arrays of numbers, and DataFrames of pandas or polars with numbers, text, categories, booleans and one time
    column. Missing values are part of the model; a category never seen has the small probability that smoothing leaves
    it. A row whose numbers are all missing, or one of them beyond a float32, has log-likelihood −∞, counts as an
    anomaly and does not train. Rows that come more than once (:mod:`flowlib.copies`) train or calibrate together.

    ``score_samples`` is the log-likelihood. ``decision_function``, ``predict`` and ``p_values`` follow the surprise of
    :mod:`flowlib.calibration`, which joins it with a second opinion. The two rank rows differently, so this is no
    ``OutlierMixin`` of scikit-learn.

    Args:
        flow: family, of :data:`flowlib.flows.FLOWS`.
        alpha: share of ordinary rows that :meth:`predict` may call anomalies.
        maps: kinds of column map to choose from by held-out likelihood, of :data:`flowlib.encoder.columns.MAPS`.
        context: of ``hour``, ``weekday``, ``slice``: what the density is conditioned on. The first two need a column of
            times and are those of UTC where it has a time zone.
        distance: what joins the likelihood in the surprise: ``mixture``, Gaussian mixtures fitted beside the flow, and
            the columns as far as they agree with it (:mod:`flowlib.beside`); ``columns``, how far out a row is in its
            columns alone, or ``base``, in the flow; None for the likelihood alone. At 10,000 rows of 20 columns
            mixtures add .8 s to 1.3 s of fitting and 1.6 µs to 1.3 µs of scoring a row, and 30·(d² + d) numbers at d
            columns; a table of more than :data:`flowlib.gaussians.WIDTH_MAX` gets none.
        slice_column: the column that names slices; p-values are per slice from 200 calibration rows on.
        max_steps: training steps at most; None for half a step a row, 100 to 1,500.
        calibration_share: share of the rows that calibrate and do not train.
        random_state: seed; the same rows and seed give the same model.

    Attributes:
        density_: the fitted :class:`flowlib.Density`.
        offset_: surprise above which a row is an anomaly, where its slice has no limit of its own.
        n_features_in_, feature_names_in_: as in scikit-learn.
        findings_: sentences on peculiar columns.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((600, 1)) * [1.0, 2.0] + rng.standard_normal((600, 2)) / 5  # x1 is about twice x0
    >>> model = FlowDensity(max_steps=60).fit(x)
    >>> model.predict([[1.0, 2.0], [3.0, -6.0]])
    array([ 1, -1])
    """

    _layout: FrameLayout

    def __init__(
        self,
        flow: str = "maf",
        alpha: float = 0.01,
        maps: tuple[str, ...] = MAPS,
        context: tuple[str, ...] = (),
        distance: str | None = "mixture",
        slice_column: str | None = None,
        max_steps: int | None = None,
        calibration_share: float = 0.2,
        random_state: Any = 0,
    ) -> None:
        self.flow = flow
        self.alpha = alpha
        self.maps = maps
        self.context = context
        self.distance = distance
        self.slice_column = slice_column
        self.max_steps = max_steps
        self.calibration_share = calibration_share
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit on rows ``(n, d)``, n ≥ 3; ``y`` is ignored.

        Raises:
            ValueError: a parameter or the rows cannot be used.
        """
        self._check_parameters()
        table = self._table(X, reset=True)
        _check_columns(table)
        self._check_clock()
        if len(table) < _ROWS_MIN:
            raise ValueError(f"n_samples = {len(table)}: a density needs at least {_ROWS_MIN} rows, better hundreds")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        table = table.take(_usable(table))
        if len(table) < _ROWS_MIN:
            raise ValueError("hardly any row has a number that is present and within float32: nothing can be learnt")
        self._layout = self._layout.with_times(table.time_ms, seed)
        train, valid, calibration = self._split(table, seed)
        self.density_ = Density.fit(
            self._layout.spec,
            train,
            valid,
            calibration,
            seed,
            FitConfig(
                self.flow,
                MaximumLikelihood(TrainConfig(max_steps=self._steps(len(table)))),
                EncoderConfig(maps=tuple(self.maps), context=tuple(self.context)),
                self.distance or "base",
                WEIGHTS[self.distance] if self.distance else 0.0,
            ),
        )
        self.offset_ = self.density_.calibration.limit(self.alpha)
        self.findings_ = [finding.says for finding in self.density_.encoder.findings]
        return self

    def score_samples(self, X: Any) -> Floats:
        """Exact log-likelihood of each row in raw space, ``(n,)`` nats; −∞ for a row that cannot be scored."""
        scores = self._density().score(self._table(X))
        return np.where(scores.scorable, scores.log_prob, -np.inf)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-likelihood of the rows, nats."""
        return float(self.score_samples(X).mean())

    def decision_function(self, X: Any) -> Floats:
        """Limit of its slice less the surprise of each row, ``(n,)``: negative for anomalies, −∞ for unscorable rows.

        Ranks rows as :meth:`p_values` does, without its ties beyond the held-out rows.
        """
        density, table = self._density(), self._table(X)
        scores, calibration = density.score(table), density.calibration
        limits = {name: calibration.limit(self.alpha, name) for name in set(table.slices.tolist())}
        limit = np.array([limits[name] for name in table.slices.tolist()], dtype=np.float64)
        return np.where(scores.scorable, limit - scores.surprise, -np.inf)

    def predict(self, X: Any) -> Ints:
        """+1 for ordinary rows, −1 for anomalies, ``(n,)``.

        Of rows like those fitted a share ``alpha`` are anomalies on average, at least 1 / (m + 1) with m calibration
        rows (split conformal prediction).
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def fit_predict(self, X: Any, y: Any = None) -> Ints:
        """Fit, and :meth:`predict` of the same rows."""
        return self.fit(X).predict(X)

    def p_values(self, X: Any) -> Floats:
        """Calibrated p-values ``(n,)``, at least 1 / (m + 1) with m calibration rows of the slice, or of all slices."""
        density, table = self._density(), self._table(X)
        scores = density.score(table)
        return np.where(scores.scorable, scores.p_value, density.calibration.floor(""))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Rows drawn from the density: an array, or a DataFrame like the one that was fitted.

        Columns are rounded as they were in the rows fitted, and no value lies beyond those; times are drawn from
        a thousand rows fitted. Slices are missing unless ``context`` has them. Levels beyond 256 of a category are
        :data:`flowlib.sampling.RARE`.
        """
        density = self._density()
        if n_samples < 1:
            raise ValueError(f"n_samples = {n_samples}: at least 1 row can be drawn")
        seed = int(check_random_state(self.random_state if random_state is None else random_state).randint(2**31 - 1))
        times = np.array(self._layout.times, dtype=np.int64) if self._layout.times else None
        drawn = density.sample(int(n_samples), seed, times)
        return drawn.numeric if self._kind is None else frame_of(drawn, self._layout, self._kind)

    def explain(self, X: Any) -> list[Explanation]:
        """Why each row is as likely as it is. Meant for few rows.

        A strange row costs 250 evaluations of the density for each column and step towards the nearest ordinary row, in
        all thousands at 10 columns and up to millions at 120; an ordinary row ten for each column.
        """
        return explain(self._density(), self._table(X))

    def to_onnx(self, *, int8: bool = False) -> bytes:
        """The whole model as an ONNX graph, see :func:`flowlib.whole.export_density`; needs the ``edge`` extra.

        Takes ``rows`` ``(n, d)`` float64, as skl2onnx gives them where a pipeline takes ``DoubleTensorType``; with int8
        weights one row at a time.
        """
        return export_density(self._density(), int8)

    def __sklearn_tags__(self) -> Any:
        """Missing values are allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """The model as its artifact: numbers, no code."""
        state = dict(super().__getstate__())
        if "density_" in state:
            state["density_"] = artifact.pack(state["density_"], _KEY, bytes_max=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the model from its artifact."""
        super().__setstate__(state)
        if "density_" in state:
            public = _KEY.public_key()
            self.density_ = artifact.load(state["density_"], {artifact.key_id(public): public}, bytes_max=None)

    def _density(self) -> Density:
        check_is_fitted(self, "density_")
        return self.density_

    def _table(self, X: Any, reset: bool = False) -> Table:
        if not reset:
            check_is_fitted(self, "density_")
        if not is_frame(X):
            return self._from_array(X, reset)
        validate_data(self, X, reset=reset, skip_check_array=True)
        if reset:
            self._layout = layout_of(X, self.slice_column)
            self._kind = nw.from_native(X, eager_only=True).implementation.value
        elif self._kind is None:
            return self._from_array(X, reset)
        if not len(X):
            raise ValueError("Found array with 0 sample(s): at least 1 row is needed")
        return table_of(X, self._layout)

    def _from_array(self, X: Any, reset: bool) -> Table:
        if not reset and self._kind is not None:
            raise ValueError(
                f"the density was fitted on a DataFrame with the columns {', '.join(self._layout.order)}: pass one"
            )
        values = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan")
        if reset:
            if self.slice_column is not None:
                raise ValueError("slice_column names a column of a DataFrame, and X is an array: pass a DataFrame")
            names = tuple(f"x{j}" for j in range(values.shape[1]))
            self._layout, self._kind = FrameLayout(FeatureSpec(names), "", "", names), None
        return Table.of(values)

    def _split(self, table: Table, seed: int) -> tuple[Table, Table, Table]:
        """Rows that train, stop the training and calibrate. Copies stay together, and calibrate once."""
        unit = units(table)
        count = int(unit.max()) + 1
        if count < _ROWS_MIN:
            unit, count = np.arange(len(table)), len(table)
        order = np.random.default_rng(seed).permutation(count)
        calibrates, stops = self._sizes(count)
        place = np.empty(count, dtype=np.int64)
        place[order] = np.arange(count)
        place = place[unit]
        once = np.zeros(len(table), dtype=bool)
        once[newest(unit)] = True
        return (
            table.take(place >= calibrates + stops),
            table.take((place >= calibrates) & (place < calibrates + stops)),
            table.take((place < calibrates) & once),
        )

    def _sizes(self, n: int) -> tuple[int, int]:
        """Rows that calibrate and rows that stop the training, at least one each; at least one is left to train."""
        calibrates = min(max(round(self.calibration_share * n), 1), n - 2)
        return calibrates, min(max(round(_VALIDATION_SHARE * n), 1), n - calibrates - 1)

    def _steps(self, n: int) -> int:
        return self.max_steps or int(np.clip(_STEPS_A_ROW * n, _STEPS_MIN, _STEPS_MAX))

    def _check_clock(self) -> None:
        clock = [name for name in CLOCK_WIDTH if name in self.context]
        if clock and not self._layout.time:
            raise ValueError(
                f"context has {clock[0]!r} and the rows have no time: pass a DataFrame with one column of dates or "
                "times, or leave it out"
            )

    def _check_parameters(self) -> None:
        if self.flow not in FLOWS:
            raise ValueError(f"flow = {self.flow!r}: there are {', '.join(sorted(FLOWS))}")
        if self.distance is not None and self.distance not in WEIGHTS:
            raise ValueError(f"distance = {self.distance!r}: there are {', '.join(WEIGHTS)}, and None for none")
        for name in ("alpha", "calibration_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must lie between 0 and 1")
        if self.max_steps is not None and self.max_steps < 1:
            raise ValueError(f"max_steps = {self.max_steps!r}: must be at least 1, or None to choose by the rows")
        for name in ("maps", "context"):
            if isinstance(getattr(self, name), str):
                raise ValueError(
                    f"{name} = {getattr(self, name)!r}: must be a tuple of names, ({getattr(self, name)!r},)"
                )
        if "slice" in self.context and self.slice_column is None:
            raise ValueError(
                "context has 'slice' and slice_column is None: name the column that tells slices apart, or leave it out"
            )


def _check_columns(table: Table) -> None:
    d = table.numeric.shape[1]
    if d > artifact.COLUMNS_MAX:
        raise ValueError(
            f"X has {d:,} columns of numbers, and a density takes {artifact.COLUMNS_MAX:,} at most: leave some out, or "
            "reduce them first (for instance by sklearn.decomposition.PCA)"
        )


def _usable(table: Table) -> Any:
    present = ~np.isnan(table.numeric)
    return present.any(axis=1) & (np.isfinite(table.numeric) | ~present).all(axis=1)
