"""How many streams of evidence each rule has, what share of its promise each of them gets, and what that allows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stream_app.config import Config
from stream_app.config.promise import alpha
from stream_app.stages.judge.candidates import OTHER_RULE, Candidate
from stream_app.stages.judge.checking import makes_evidence
from stream_app.stages.judge.control import openings, rejected
from stream_app.stages.judge.facts import Allowed

_OF_GROUPS = 0.5
"""Share of a rule's promise that its groups have among them: a change of all slices shows there first."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Streams of evidence in a pane, by rule.

    Attributes:
        streams: how many there are, groups included.
        slice_shares, group_shares: what each slice, and each group, may cost of the rule's promise.
        thresholds: evidence at which a slice alone opens an incident.
        groups: slicings whose slices are looked at together.
    """

    streams: dict[str, int]
    slice_shares: dict[str, float]
    group_shares: dict[str, float]
    thresholds: dict[str, float]
    groups: dict[str, list[str]]


class Streams:
    """Counts streams of evidence, and says what candidates may do: it holds the promise."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._alpha = {name: alpha(config, name) for name in (*config.rules, OTHER_RULE)}
        fields = zip(config.slicing_names, config.event.slicings, strict=True)
        self._of_strangers = sum(bool(of) for _, of in fields)
        self._last: tuple[dict[str, int], Counts] | None = None
        pairs = list(zip(config.slicing_names, config.event.slicings, strict=True))
        self._slicings = {
            name: [slicing for slicing, of in pairs if rule.slicing is None or rule.slicing == of]
            for name, rule in config.rules.items()
        }

    def alpha(self, rule: str) -> float:
        """False incidents a pane that a rule may open."""
        return self._alpha[rule]

    def count(self, slices: Mapping[str, int]) -> Counts:
        """Streams in a pane in which slicings have so many slices; ``__other__`` of each slicing is one more."""
        if self._last is None or self._last[0] != slices:  # mostly they are as many as in the pane before
            self._last = dict(slices), self._count(slices)
        return self._last[1]

    def _count(self, slices: Mapping[str, int]) -> Counts:
        counts = Counts({}, {}, {}, {}, {})
        for rule, slicings in self._slicings.items():
            single = sum(slices.get(slicing, 0) + 1 for slicing in slicings)
            together = self._config.rules[rule].together
            groups = [slicing for slicing in slicings if together and slices.get(slicing, 0) > 1]
            counts.groups[rule] = groups
            counts.streams[rule] = single + len(groups)
            counts.slice_shares[rule] = (1.0 - _OF_GROUPS * bool(groups)) / single
            counts.group_shares[rule] = _OF_GROUPS / max(len(groups), 1)
            counts.thresholds[rule] = 1.0 / (self._alpha[rule] * counts.slice_shares[rule])
            if not makes_evidence(self._config, rule):
                counts.thresholds[rule] = self._config.rules[rule].open
        counts.streams[OTHER_RULE] = self._of_strangers
        counts.thresholds[OTHER_RULE] = max(self._of_strangers, 1) / self._alpha[OTHER_RULE]
        return counts

    def allowed(
        self, candidates: Sequence[Candidate], members: Collection[tuple[str, str, str]]
    ) -> list[tuple[Candidate, Allowed]]:
        """What each candidate may do, given those that are members of open incidents."""
        out: dict[tuple[str, str, str], Allowed] = {}
        for rule in sorted({candidate.rule for candidate in candidates}):
            of_rule = [c for c in candidates if c.rule == rule and c.key not in members and not c.over]
            if of_rule:  # while an incident lasts most candidates are its members
                out |= self._allowed(rule, of_rule, sum(key[0] == rule for key in members))
        return [(candidate, out.get(candidate.key, "")) for candidate in candidates]

    def _allowed(self, rule: str, candidates: list[Candidate], already: int) -> dict[tuple[str, str, str], Allowed]:
        if rule != OTHER_RULE and not makes_evidence(self._config, rule):
            threshold = self._config.rules[rule].open
            return {c.key: "open" if c.statistic >= threshold else "" for c in candidates}
        weighted = np.array([c.statistic * c.share for c in candidates])
        may_open = openings(weighted, [c.causes[0].name for c in candidates], self._alpha[rule])
        may_join = rejected(weighted, self._alpha[rule], already)
        found: dict[tuple[str, str, str], Allowed] = {}
        for candidate, opens, joins in zip(candidates, may_open.tolist(), may_join.tolist(), strict=True):
            found[candidate.key] = "open" if opens else "join" if joins else ""
        return found
