"""What private trainings of a stream have cost, written down before each begins.

All trainings of a stream are taken to use the same events, so their ε add up: the accountant composes every step of
every entry (never more than the plain sum, mostly far less). An entry is on disk before training starts: a training
that crashes has cost as much as a whole one, and answering its request again costs as much again, since the noise is
new.
"""

from __future__ import annotations

import msgspec

from flowlib.privacy.dp_sgd import Spent, epsilon_of
from stream_app.config import Config
from stream_app.disk import append_locked, create_durably, locked, read_lines, writing
from stream_app.errors import DriftflowError

_REMEDY = "restore the file from a backup; without it nobody knows what privacy has cost, so no model is trained"


class LedgerEntry(msgspec.Struct, frozen=True):
    """One private training."""

    request_id: str
    noise_multiplier: float
    sampling_rate: float
    steps: int
    epsilon_total: float
    """ε of this and all earlier entries together, at ``delta``."""
    delta: float

    @property
    def spent(self) -> Spent:
        """As the accountant takes it."""
        return Spent(self.noise_multiplier, self.sampling_rate, self.steps)


_ENTRIES = msgspec.json.Decoder(LedgerEntry)


class OverBudget(DriftflowError):
    """One training more would go beyond ``privacy.epsilon_budget``."""


class Ledger:
    """The entries of one stream, in ``{state.dir}/{stream}.privacy.jsonl``.

    Never delete or shorten it: what was spent stays spent. Where the events are others, give the stream another name.
    """

    def __init__(self, config: Config) -> None:
        self.path = config.path(config.state.dir) / f"{config.stream}.privacy.jsonl"
        self._budget, self._delta = config.privacy.epsilon_budget, config.privacy.delta

    def entries(self) -> list[LedgerEntry]:
        """Every training charged, oldest first.

        Raises:
            DriftflowError: a line is damaged. A last line cut short by a crash belongs to a training that never began.
        """
        return read_lines(self.path, _ENTRIES, _REMEDY)

    def charge(self, request_id: str, spent: Spent) -> LedgerEntry:
        """Write a training down, durably, before it starts.

        Raises:
            OverBudget: it would cost more than is left; nothing is written.
            DriftflowError: the ledger is damaged, or cannot be written.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self._charge(request_id, spent)

    def _charge(self, request_id: str, spent: Spent) -> LedgerEntry:
        if not self.path.exists():
            entry = self._entry([], request_id, spent)
            if create_durably(self.path, _line(entry), 0o600):
                return entry
        with locked(self.path, 0o600) as file:
            entry = self._entry(self.entries(), request_id, spent)
            append_locked(file, self.path, _line(entry))
        return entry

    def _entry(self, earlier: list[LedgerEntry], request_id: str, spent: Spent) -> LedgerEntry:
        total = epsilon_of([*(entry.spent for entry in earlier), spent], self._delta)
        if total > self._budget:
            raise OverBudget(self._refusal(earlier, total))
        return LedgerEntry(request_id, spent.noise_multiplier, spent.sampling_rate, spent.steps, total, self._delta)

    def _refusal(self, earlier: list[LedgerEntry], total: float) -> str:
        before = epsilon_of([entry.spent for entry in earlier], self._delta)
        return (
            f"the privacy budget does not allow another training: {len(earlier)} so far cost epsilon {before:.2f}, "
            f"with this one {total:.2f}, and privacy.epsilon_budget is {self._budget:g} (delta {self._delta:g}); lower "
            "privacy.epsilon, or raise the budget if the promise made to the people in the events allows it"
        )


def _line(entry: LedgerEntry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"
