"""What people have said of incidents, and what share of these was worth their while, by rule and channel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flowlib.intervals import wilson
from schemas.incidents import Action, Incident
from stream_app.config import Config
from stream_app.disk import writing
from stream_app.incident_lines import bounded
from stream_app.kafka.actions import read_actions
from stream_app.models.marks import Marks
from stream_app.offline.proposals import JUDGED_MIN, Proposal, propose
from stream_app.operators.reading import Told, read_told

ALL = "all"
"""Stands for every rule, or every channel of one."""
SINGLE = "single events"
"""Stands for the channel of messages about strange events, which no rule sends."""

Part = tuple[str, str]
"""A rule and a channel (detector and field, as in ``location TEMP``)."""


class Precision(msgspec.Struct, frozen=True):
    """Verdicts on the incidents that a rule has opened for a channel, one for each incident.

    Attributes:
        useful, wrong_owner, noise: of each kind; the second was real, and told to somebody else.
        precision: share that was real; with its 95 % interval (Wilson).
    """

    rule: str
    channel: str
    useful: int
    wrong_owner: int
    noise: int
    precision: float
    low: float
    high: float

    @property
    def judged(self) -> int:
        """All of them."""
        return self.useful + self.wrong_owner + self.noise


def last_verdicts(actions: Iterable[Action]) -> dict[str, str]:
    """Incident to the last verdict on it."""
    return {action.incident_id: action.verdict for action in actions if action.verb == "feedback"}


def parts_of(incident: Incident) -> set[Part]:
    """The rules and channels that have opened an incident or joined it; a channel as silences name it."""
    members = incident.members
    return {(of.rule, " ".join([of.detector, *filter(None, of.feature.split(", "))])) for of in members}


def precision(parts: Mapping[str, Iterable[Part]], verdicts: Mapping[str, str]) -> list[Precision]:
    """How precise each rule and channel is, the most judged first; all of them together before that.

    Args:
        parts: incident to the rules and channels that had part in it.
        verdicts: incident to the verdict on it; those on others are left out.
    """
    counts: dict[Part, dict[str, int]] = defaultdict(lambda: {"useful": 0, "wrong-owner": 0, "noise": 0})
    for name, verdict in verdicts.items():
        for part in {*parts[name], (ALL, ALL)} if name in parts else ():
            counts[part][verdict] += 1
    rows = [_row(part, said) for part, said in counts.items()]
    return sorted(rows, key=lambda row: (row.rule != ALL, -row.judged, row.rule, row.channel))


def _row(part: Part, said: Mapping[str, int]) -> Precision:
    judged, real = sum(said.values()), said["useful"] + said["wrong-owner"]
    low, high = wilson(real, judged)
    return Precision(*part, said["useful"], said["wrong-owner"], said["noise"], real / judged, float(low), float(high))


def parts_told(told: Told) -> dict[str, set[Part]]:
    """Of all that people were told: its id, and which rules and channels it comes from."""
    strange = {name: {("", SINGLE)} for name in told.strange}
    return strange | {name: parts_of(incident) for name, incident in told.incidents.items()}


def show_feedback(config: Config, out: Console, as_json: bool = False, proposal: Path | None = None) -> None:
    """Print how precise the rules are.

    Args:
        config: the stream.
        out: where to print.
        as_json: one JSON object a line.
        proposal: file for the rules that the verdicts speak for, to be tried by a backtest.

    Raises:
        DriftflowError: a topic does not exist, the broker does not answer, or the file cannot be written.
    """
    told = read_told(config)
    parts = parts_told(told)
    verdicts = last_verdicts(read_actions(config, Marks(config).is_trusted))
    rows = precision(parts, verdicts)
    if proposal is not None:
        out.print(_propose(config, propose(config, told.opened, verdicts), proposal), soft_wrap=True, markup=False)
        return
    if as_json:
        for row in rows:
            out.file.write(msgspec.json.encode(row).decode() + "\n")
        out.file.flush()
        return
    judged = len(verdicts.keys() & parts.keys())
    out.print(f"{judged:,} of {len(parts):,} incidents and messages about single events are judged.")
    if rows:
        out.print(_table(rows))
        out.print("real: useful, or useful to somebody else (wrong-owner); in brackets its 95 % interval.", style="dim")
    else:
        out.print(
            "`driftflow feedback ID useful|noise|wrong-owner` judges one; `driftflow incidents --all` has the ids."
        )


def _propose(config: Config, found: Proposal | None, path: Path) -> str:
    if found is None:
        return f"Nothing is proposed: it takes {JUDGED_MIN} verdicts, and noise that is weaker than all that was real."
    with writing(path):
        path.write_text(found.toml(config), encoding="utf-8")
    spared = found.noise - found.noise_left
    return (
        f"With alerts.false_incidents_per_month = {found.promise:.3g} {spared:,} of {found.noise:,} that were noise "
        f"would not have opened, and all {found.real:,} that were real would. Nothing is changed: try it on other "
        f"events, `driftflow backtest FILE --rules {path}` or `--topic`."
    )


def _table(rows: Iterable[Precision]) -> Table:
    table = Table("rule", "channel", box=None)
    for name in ("judged", "useful", "wrong owner", "noise", "real"):
        table.add_column(name, justify="right")
    for row in rows:
        share = f"{row.precision:.0%} ({row.low:.0%} to {row.high:.0%})"
        figures = (f"{n:,}" for n in (row.judged, row.useful, row.wrong_owner, row.noise))
        table.add_row(Text(bounded(row.rule)), Text(bounded(row.channel)), *figures, share)
    return table
