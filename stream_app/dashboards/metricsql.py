"""What a stream's panels ask VictoriaMetrics, in MetricsQL.

It keeps numbers only, each field as a series of its own, such as ``windows_p_le_01``: what is text (summaries, reasons,
answers) is not there.
"""

from __future__ import annotations

from stream_app.dashboards.influxql import MOST_LINES

_SINCE = "400d"
"""How far back an incident that is open may have spoken last: it is reminded of every week."""

_OPEN = 'state=~"open|update", silenced="0", thread!=""'
_SLICES = 'slicing=~"$slicing", slice=~"$slice"'


class Numbers:
    """The queries about one stream, by the names that :class:`~stream_app.dashboards.influxql.Queries` has for them.

    Args:
        stream: its name.
    """

    def __init__(self, stream: str) -> None:
        self._of = f'stream="{stream}"'

    def open_incidents(self) -> str:
        """A row for each, with the time since when: whatever the time above. Of a thread the one that began first."""
        since = f"last_over_time(incidents_since_ms{{{self._of}, {_OPEN}}}[{_SINCE}])"
        return f"bottomk(1, {since} and on (id, number) ({self._open(_OPEN)})) by (thread)"

    def open_count(self, severity: str) -> str:
        """How many are open."""
        return f"count(max by (thread) ({self.open_each(severity)})) or vector(0)"

    def open_each(self, severity: str) -> str:
        """A series for each open incident, for an alert that has one instance for each."""
        return self._open(f'{_OPEN}, severity="{severity}"')

    def opened(self) -> str:
        """Incidents by when they opened."""
        each = f'incidents_message{{{self._of}, state="open", silenced="0"}}[$__interval]'
        return f"count by (severity, kind) (max by (severity, kind, thread) (last_over_time({each})))"

    def share(self, part: str, whole: str, span: str = "$span") -> str:
        """A count's share of another one, over the time, of each slice."""
        return _some(f"{self._newest(part, 'sum', span)} / {self._newest(whole, 'sum', span)}")

    def whole_share(self, part: str, whole: str) -> str:
        """A count's share of another one, of all chosen slices and the whole time: panes, each event once."""
        of = f'{self._of}, {_SLICES}, span="pane"'
        sums = (f"sum(sum_over_time(windows_{field}{{{of}}}[$__range]))" for field in (part, whole))
        return " / ".join(sums)

    def strangest(self) -> str:
        """Slices with the largest share of strange events in the chosen time."""
        of = f'{self._of}, slicing=~"$slicing", span="pane"'
        part, whole = (
            f"sum by (slice) (sum_over_time(windows_{field}{{{of}}}[$__range]))" for field in ("p_le_01", "scored")
        )
        return f"topk(20, {part} / {whole})"

    def level(self, field: str, how: str, span: str = "$span") -> str:
        """A field over the time, of each slice."""
        return _some(self._newest(field, {"mean": "avg"}.get(how, how), span))

    def moved(self) -> str:
        """How far the histogram of each feature is from flat, over the span that ends there: half the sum of the
        distances of its bins.
        """
        of = f'{{__name__=~"pit_h[0-9]+", {self._of}, feature=~"$feature"}}'
        bins = f"sum by (feature, __name__) (sum_over_time({of}[${{span:text}}]) keep_metric_names)"
        return f"0.5 * sum by (feature) (abs({bins} / on (feature) group_left () sum by (feature) ({bins}) - 0.05))"

    def counted(self, counter: str) -> str:
        """By how much a running total grew, of all partitions together."""
        return f"sum(increase(counters_{counter}{{{self._of}}}[$__interval]))"

    def held(self) -> str:
        """How many events wait."""
        return f"sum(last_over_time(counters_held{{{self._of}}}[$__interval]))"

    def anomalies(self) -> str:
        """Events at or below the event rule, of each slice."""
        each = f'anomalies_p_value{{{self._of}, slice=~"$slice"}}[$__interval]'
        return _some(f"sum by (slice) (count_over_time({each}))")

    def values_of(self, tag: str, among: str = "") -> str:
        """Values of a tag of the windows, for a variable; those beside the chosen value of another tag."""
        beside = f', {among}=~"${among}"' if among else ""
        return f"label_values(windows_seen{{{self._of}{beside}}}, {tag})"

    def _newest(self, field: str, how: str, span: str) -> str:
        of = f'{self._of}, {_SLICES}, span="{span}"'
        return f"{how} by (slice) (last_over_time(windows_{field}{{{of}}}[$__interval]))"

    def _open(self, condition: str) -> str:
        """The newest message of each incident, where it fits."""
        every, those = (
            f"last_over_time(incidents_message{{{of}}}[{_SINCE}])" for of in (self._of, f"{self._of}, {condition}")
        )
        return f"{those} == on (id) group_left () max by (id) ({every})"


def _some(query: str) -> str:
    return f"limitk({MOST_LINES}, {query})"
