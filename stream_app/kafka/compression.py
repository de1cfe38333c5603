"""Compressed records: a producer chooses the codec, and each client here needs a library to read it.

aiokafka, which the worker reads with, takes snappy, lz4 and zstd from ``cramjam``; kafka-python, which the trainer and
the commands read with, from ``python-snappy``, ``lz4`` and ``zstandard``. gzip is Python's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import aiokafka.codec
import kafka.codec

_WORKER: Mapping[str, str] = dict.fromkeys(("snappy", "lz4", "zstd"), "cramjam")
_OTHERS: Mapping[str, str] = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}


def missing_codecs(of_worker: bool) -> dict[str, str]:
    """Codecs that records cannot be read in, each with the package that brings it; none where all is installed.

    Args:
        of_worker: by aiokafka, as a worker reads; False by kafka-python, as all others do.
    """
    client, packages = (aiokafka.codec, _WORKER) if of_worker else (kafka.codec, _OTHERS)
    return {codec: package for codec, package in packages.items() if not _has(client, codec)}


def _has(client: ModuleType, codec: str) -> bool:
    return bool(getattr(client, f"has_{codec}")())
