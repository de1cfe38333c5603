"""The panels of a stream that are texts, which InfluxDB keeps: what was told and answered, and marks on every panel."""

from __future__ import annotations

from collections.abc import Iterable

from stream_app.dashboards.influxql import Queries
from stream_app.dashboards.panels import INK, AnyPanel, Note, placed, rows, shown
from stream_app.dashboards.stream_panels import SINCE, WHEN, WORDS, About


class Texts(About):
    """The panels of texts, which InfluxDB keeps."""

    ask: Queries

    def told(self) -> list[AnyPanel]:
        """What people are told, and what they answered."""
        ask = self.ask
        how = "resolve: as before; handover: a newer model takes it for normal; accepted: a person does."
        single = {**WHEN, "count": shown("events", width=90), "summary": WORDS}
        said = {**WHEN, "incident_id": shown("incident", width=220), "why": shown(width=420)}
        return [
            placed(
                rows(single, "when"),
                self.source,
                ("Single strange events", "Strange one by one, in no incident: a message, and how many it counts."),
                (12, 7),
                self.table(ask.newest("strange_events", ("count", "summary"))),
            ),
            placed(
                rows({**WHEN, **SINCE, **self.thread, "summary": WORDS}, "when"),
                self.source,
                ("All incidents", f"The newest message of each, the newest first. {how} silenced 1: kept from people."),
                (24, 8),
                self.table(ask.all_incidents()),
            ),
            placed(
                rows(said, "when"),
                self.source,
                ("What people said", "Acknowledged, accepted, silenced, marked, useful or noise; the newest first."),
                (24, 6),
                self.table(ask.newest("actions", ("verb", "by", "why", "verdict", "incident_id"))),
            ),
        ]

    def models(self) -> list[AnyPanel]:
        """Every candidate."""
        columns = {**WHEN, "reason": WORDS, "train_rows": shown("rows trained on", width=130)}
        return [
            placed(
                rows(columns, "when"),
                self.source,
                ("Models", "Every candidate with what the gates said, the newest first."),
                (24, 8),
                self.table(self.ask.newest("models", ("status", "model_id", "train_rows", "reason", "parent_id"))),
            )
        ]

    def notes(self) -> Iterable[Note]:
        """What is marked on every panel over the time."""
        opened = """"state" = 'open' AND "silenced" = '0' AND "severity" """
        marks = (
            ("New model", INK["info"], "activations", "model_id", """"partition" = '0'"""),
            ("Critical incident", INK["critical"], "incidents", "summary", opened + "= 'critical'"),
            ("Other incident", INK["warning"], "incidents", "summary", opened + "!= 'critical'"),
            ("What people did", INK["people"], "actions", "why", """"verb" = 'mark'"""),
        )
        for name, colour, measurement, field, condition in marks:
            query = self.ask.notes(measurement, field, condition)
            yield Note(name, colour, self.source, query, field)
