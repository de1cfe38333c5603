"""Flow families, one file each. Add yours here and the property tests take it up."""

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
