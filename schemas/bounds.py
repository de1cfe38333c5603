"""Types of record fields, with the range that a decoder accepts: what is outside would fail later, in a sink or a file.

Checked when bytes are decoded, not when a record is made here.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MILLIS_MAX = 253_402_300_799_999
"""Last millisecond of the year 9999."""

_FLOAT_MAX = 1.7976931348623157e308

Millis = Annotated[int, Meta(ge=0, le=MILLIS_MAX)]
"""Milliseconds since the epoch, of the years 1970 to 9999."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A number of things, or an offset: what a signed 64-bit integer holds."""

Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""Number of a partition, or of a block."""

Finite = Annotated[float, Meta(ge=-_FLOAT_MAX, le=_FLOAT_MAX)]
"""A float that is neither infinite nor NaN."""

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
"""A share, or a probability."""

Id = Annotated[str, Meta(max_length=200)]
"""An id of ours."""

Name = Annotated[str, Meta(max_length=1_000)]
"""A name of a stream, topic, rule, slicing, slice or field."""

Text = Annotated[str, Meta(max_length=16_384)]
"""Prose."""
