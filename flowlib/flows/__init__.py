"""Flow families, one file each. Add yours here and the property tests take it up."""

from flowlib.flows.base import Flow
from flowlib.flows.maf import Maf

FLOWS: dict[str, type[Flow]] = {"maf": Maf}
"""Family name to class."""

__all__ = ["FLOWS", "Flow", "Maf"]
