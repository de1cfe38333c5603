"""Flow families, one file each. Add yours here and the property tests take it up."""

from flowlib.flows.affine_coupling import AffineCoupling
from flowlib.flows.base import Flow
from flowlib.flows.maf import Maf
from flowlib.flows.spline_autoregressive import SplineAutoregressive
from flowlib.flows.spline_coupling import SplineCoupling

FLOWS: dict[str, type[Flow]] = {
    "maf": Maf,
    "spline_autoregressive": SplineAutoregressive,
    "spline_coupling": SplineCoupling,
    "affine_coupling": AffineCoupling,
}
"""Family name to class."""

__all__ = ["FLOWS", "AffineCoupling", "Flow", "Maf", "SplineAutoregressive", "SplineCoupling"]
