"""Three spans in order of time: rows that train, that calibrate, and that judge.

The gate is a forecast: all training rows lie before all calibration rows, and those before all gate rows, cut between
whole blocks of time. Rows of one block resemble each other, so that intervals count blocks, not rows. Blocks of the
training span that say when to stop (validation) are drawn with a key: who does not know it cannot aim at them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flowlib.table import DAY_MS, Bools, Floats, Ints, Table
from stream_app.config import Config
from stream_app.errors import ConfigError

HOUR_MS = 3_600_000
BLOCKS_MIN = 20
"""So many days make days the blocks, else so many hours make hours the blocks, else they are panes."""
HELD_SHARE_MAX = 0.4
"""Most of the blocks that calibrate and judge together."""
VALIDATION_SHARE = 0.2
_LABEL = b"driftflow folds"
_SECRET_MIN = 16
_UNIT = 2.0**-64


@dataclass(frozen=True, slots=True)
class Blocks:
    """What time is cut into: ``length_ms`` each, from the epoch on; ``name`` is day, hour or pane."""

    name: str
    length_ms: int

    def of(self, table: Table) -> Ints:
        """``(n,)`` the number of each row's block."""
        return table.time_ms // self.length_ms

    def count(self, table: Table) -> int:
        """Blocks that have a row."""
        return len(np.unique(self.of(table)))


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint parts of the rows: fit, early stopping, calibration, gates; ``held_out``: calibration and gate rows with
    their copies, in order of time, which the reference is fitted on once the gates are passed.
    """

    train: Table
    validation: Table
    calibration: Table
    gate: Table
    held_out: Table
    blocks: Blocks

    def parts(self) -> dict[str, Table]:
        """The four disjoint ones by name."""
        return {name: getattr(self, name) for name in ("train", "validation", "calibration", "gate")}


@dataclass(frozen=True, slots=True)
class Folds:
    """Draws that nobody can foresee who has not the key, and that are the same each time with it.

    Args:
        secret: of :func:`fold_secret`.
        name: of the request; another one has other draws.
    """

    secret: bytes
    name: str

    def draws(self, blocks: Iterable[int]) -> Floats:
        """A number in [0, 1) for each block: HMAC-SHA256 of the request's name and the block's number."""
        return np.array([int.from_bytes(self._digest("block", block)[:8]) * _UNIT for block in blocks])

    def generator(self, purpose: str) -> np.random.Generator:
        """A stream of chance for one purpose."""
        return np.random.default_rng(int.from_bytes(self._digest(purpose, 0)))

    def _digest(self, purpose: str, number: int) -> bytes:
        return hmac.digest(self.secret, f"{purpose}|{int(number)}|{self.name}".encode(), hashlib.sha256)


def fold_secret(config: Config, key: Ed25519PrivateKey) -> bytes:
    """The key of the folds, derived (HKDF, RFC 5869) from the trainer's private key or ``trainer.folds_file``.

    Raises:
        ConfigError: the file cannot be read, or is too short to be a secret.
    """
    return HKDF(SHA256(), 32, salt=None, info=_LABEL).derive(_secret_of(config) or key.private_bytes_raw())


def _secret_of(config: Config) -> bytes:
    if not config.trainer.folds_file:
        return b""
    path = config.path(config.trainer.folds_file)
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigError("trainer.folds_file", [f"{path} cannot be read: {error.strerror}"]) from error
    if len(secret) < _SECRET_MIN:
        raise ConfigError("trainer.folds_file", [f"{path} holds {len(secret)} bytes, and {_SECRET_MIN} are needed"])
    return secret


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where the spans meet, in numbers of blocks: training rows lie before ``calibrate``, gate rows from ``gate`` on.

    ``fault`` says why the rows cannot be cut, "" where they can.
    """

    blocks: Blocks
    calibrate: int = 0
    gate: int = 0
    fault: str = ""

    @property
    def from_ms(self) -> int:
        """From when on rows calibrate and judge."""
        return self.calibrate * self.blocks.length_ms

    def spans(self, table: Table) -> tuple[Bools, Bools, Bools]:
        """Which rows ``(n,)`` are of the training, of the calibration and of the gate span."""
        block = self.blocks.of(table)
        return block < self.calibrate, (block >= self.calibrate) & (block < self.gate), block >= self.gate


def cuts(config: Config, table: Table, calibrate_from_ms: int, start_ms: int, end_ms: int) -> Cuts:
    """Where to cut the rows of a request.

    Privately, the cuts follow from the request and the settings alone. Else the span that calibrates and judges begins
    at ``calibrate_from_ms``, where that leaves the training span 60 % of the blocks (a first request says nothing:
    ``retrain.calibration`` counts), and has ``trainer.min_blocks`` for both at least.

    Args:
        config: the stream.
        table: the rows, in order of time.
        calibrate_from_ms: from when on rows may calibrate and judge; at or before the first row it says nothing.
        start_ms, end_ms: event times that are asked for.
    """
    asked_ms = calibrate_from_ms
    if config.privacy.enabled:
        blocks = _blocks(config, end_ms - start_ms)
        held_ms = asked_ms if asked_ms > start_ms else end_ms - config.retrain.calibration
        first, end = _ceil(held_ms, blocks.length_ms), _ceil(end_ms, blocks.length_ms)
        return Cuts(blocks, first, end - (end - first) // 2)
    if not len(table):
        return Cuts(_blocks(config, 0), fault="no rows")
    first_ms, last_ms = main_span(table.time_ms)
    blocks = _blocks(config, last_ms - first_ms)
    there = np.unique(blocks.of(table))
    held_ms = asked_ms if asked_ms > table.time_ms[0] else last_ms - config.retrain.calibration
    most, least = int(len(there) * HELD_SHARE_MAX), 2 * config.trainer.min_blocks
    held = len(there) - int(np.searchsorted(there, _ceil(held_ms, blocks.length_ms)))
    held = min(max(held, least), most)
    if held < least:
        return Cuts(blocks, fault=_too_few_blocks(config, blocks, len(there)))
    return Cuts(blocks, int(there[-held]), int(there[-(held // 2)]))


def main_span(time_ms: Ints) -> tuple[int, int]:
    """The times ``(n,)``, ascending, between which all rows but one in a thousand at each end lie: a stray event of
    long ago is no history.
    """
    stray = len(time_ms) // 1_000
    return int(time_ms[stray]), int(time_ms[len(time_ms) - 1 - stray])


def _too_few_blocks(config: Config, blocks: Blocks, n: int) -> str:
    least = config.trainer.min_blocks
    wanted = int(np.ceil(2 * least / HELD_SHARE_MAX))
    return (
        f"too few blocks: the rows lie on {n} {blocks.name}s, and {wanted} are needed, so that {least} "
        "(trainer.min_blocks) calibrate and as many judge after those that train"
    )


def _blocks(config: Config, length_ms: int) -> Blocks:
    pane = int(config.windows.pane)
    for name, block in (("day", DAY_MS), ("hour", HOUR_MS)):
        if length_ms >= BLOCKS_MIN * block > 0 and block >= pane:
            return Blocks(name, block)
    return Blocks("pane", pane)


def _ceil(time_ms: int, length_ms: int) -> int:
    return -(-int(time_ms) // length_ms)


def validates(block: Ints, folds: Folds, alone: bool = False) -> Bools:
    """Which rows ``(n,)`` of the training span lie in validation blocks: a fifth of the blocks, one at least where
    there are two. ``alone``: each block by its own draw, whatever the others; a fifth on average then.
    """
    there, of_row = np.unique(block, return_inverse=True)
    draw = folds.draws(there.tolist())
    chosen = draw < VALIDATION_SHARE
    if not alone:
        chosen = np.argsort(np.argsort(draw)) < round(VALIDATION_SHARE * len(there))
    if len(there) > 1 and chosen.all():
        chosen[draw.argmax()] = False
    elif len(there) > 1 and not chosen.any():
        chosen[draw.argmin()] = True
    return np.asarray(chosen[of_row], dtype=bool)
