"""What InfluxDB 1 says of itself: it has databases with retention policies where InfluxDB 2 has buckets."""

from __future__ import annotations

import json
import re

_SECONDS = {"h": 3_600, "m": 60, "s": 1}


def policies_query(bucket: str) -> str:
    r"""What to ask, in InfluxQL; a bucket is called ``DATABASE`` or ``DATABASE/POLICY`` there.

    >>> policies_query("air/year")
    'SHOW RETENTION POLICIES ON "air"'
    """
    database = bucket.partition("/")[0].replace("\\", "\\\\").replace('"', '\\"')
    return f'SHOW RETENTION POLICIES ON "{database}"'


def retention_of(answer: bytes, bucket: str) -> int | None:
    """Retention in seconds of the bucket's policy, or of the database's default; 0 keeps points for ever.

    >>> columns = '["name", "duration", "default"]'
    >>> rows = '[["autogen", "0s", true], ["year", "8760h0m0s", false]]'
    >>> answer = f'{{"results": [{{"series": [{{"columns": {columns}, "values": {rows}}}]}}]}}'.encode()
    >>> retention_of(answer, "air"), retention_of(answer, "air/year"), retention_of(answer, "air/week")
    (0, 31536000, None)

    Returns:
        None where there is no such policy, or the answer is another server's.
    """
    (result, *_) = json.loads(answer)["results"]
    name = bucket.partition("/")[2]
    for series in result.get("series", []):
        for row in series["values"]:
            policy = dict(zip(series["columns"], row, strict=True))
            if policy["name"] == name or (not name and policy["default"]):
                return _seconds(policy["duration"])
    return None


def _seconds(duration: str) -> int:
    """``168h0m0s`` → 604800."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))
