"""The verified models of a stream, and the engine that each source partition scores them by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flowlib.density import Density
from flowlib.engines import EngineError
from flowlib.reference.reference import Reference
from stream_app.config import Config
from stream_app.stages.columns import check_columns


class Models:
    """Models by id.

    Args:
        config: the stream.

    Attributes:
        densities: as they were loaded.
        references: what is normal under each, for the detectors.
        substitutes: why a model is not scored by the engine that its decision names, by ``(model_id, engine)``: it is
            then scored by another, to within 1e-4 nats, and the run is not repeated to the bit.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.densities: dict[str, Density] = {}
        self.references: dict[str, Sequence[Reference]] = {}
        self.substitutes: dict[tuple[str, str], str] = {}
        self._by_engine: dict[tuple[str, str], Density] = {}

    def add(self, density: Density) -> None:
        """Make a verified, compiled model available; raises ModelError where it has other columns than the stream."""
        check_columns(density.spec, self._config)
        self.densities[density.model_id] = density
        self.references[density.model_id] = density.references

    def missing(self, model_ids: Iterable[str]) -> set[str]:
        """Those of the models that are not here."""
        return set(model_ids) - self.densities.keys()

    def by_decision(self, model_ids: Iterable[str], engines: Mapping[str, str]) -> dict[str, Density]:
        """Those of the models that are here, each with the engine written down for it ("" or none: the one it has)."""
        here = set(model_ids) & self.densities.keys()
        return {model_id: self._with_engine(model_id, engines.get(model_id, "")) for model_id in here}

    def _with_engine(self, model_id: str, engine: str) -> Density:
        density, key = self.densities[model_id], (model_id, engine)
        if engine in ("", density.engine.name) or key in self.substitutes:
            return density
        if key not in self._by_engine:
            try:
                self._by_engine[key] = density.with_engine(engine)
            except EngineError as error:
                self.substitutes[key] = str(error)
                return density
        return self._by_engine[key]
