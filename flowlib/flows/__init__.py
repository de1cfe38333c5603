"""Flow families, one file each: :data:`FLOWS` by name, their classes, and what all of them offer, :class:`Flow`.

A new family is one file here and one entry of :data:`FLOWS`; :func:`flowlib.checks.check_flow` then tests it.
"""

from flowlib.flows.affine_coupling import AffineCoupling
from flowlib.flows.base import Flow
from flowlib.flows.ensemble import Ensemble
from flowlib.flows.maf import Maf
from flowlib.flows.mixture import Mixture
from flowlib.flows.spline_autoregressive import SplineAutoregressive
from flowlib.flows.spline_coupling import SplineCoupling

FLOWS: dict[str, type[Flow]] = {
    "maf": Maf,
    "spline_autoregressive": SplineAutoregressive,
    "spline_coupling": SplineCoupling,
    "affine_coupling": AffineCoupling,
    "mixture": Mixture,
    "ensemble": Ensemble,
}
"""Family name to class."""

__all__ = ["FLOWS", "AffineCoupling", "Ensemble", "Flow", "Maf", "Mixture", "SplineAutoregressive", "SplineCoupling"]
