"""Every metric, in one table: what a process may expose, with unit and labels. ``infra/METRICS.md`` says the same.

Nothing here names a slice, a field or an event: a label has one of a few values, or is a partition, a part or a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Role = Literal["worker", "trainer", "console", "notify"]

Labels = tuple[str, ...]
"""Values of a metric's labels, in their order."""

Values = Mapping[str, Mapping[Labels, float]]
"""Name of a metric to what it stands at, by its labels."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table.

    Attributes:
        name: as Prometheus has it, with its unit; a counter's ends with ``_total``.
        unit: for people.
        roles: which processes expose it.
    """

    name: str
    kind: Kind
    unit: str
    labels: Labels
    help: str
    roles: tuple[Role, ...] = ("worker",)


_ALL: tuple[Role, ...] = ("worker", "trainer", "console", "notify")
_STEPS = "score, watch, judge, checkpoint, restore, training"

DAMAGED, DEAD_LETTERS, REQUESTS, PAGES = (
    "driftflow_damaged_batches_total",
    "driftflow_dead_letters_total",
    "driftflow_trainer_requests_total",
    "driftflow_console_requests_total",
)

METRICS = (
    Metric("driftflow_info", "gauge", "1", ("version", "role", "stream"), "Which process this is.", _ALL),
    Metric(
        "driftflow_events_total",
        "counter",
        "events",
        ("partition", "outcome"),
        "Events of a source partition: received, of these windowed, late, rejected, duplicate; kept over restarts.",
    ),
    Metric(
        "driftflow_events_held",
        "gauge",
        "events",
        ("partition",),
        "Events that wait until the stream comes near their time (windows.max_future).",
    ),
    Metric(
        "driftflow_dead_letters_total",
        "counter",
        "messages",
        ("reason",),
        "Dead letters sent since the start, by reason.",
        ("worker", "trainer"),
    ),
    Metric(
        "driftflow_damaged_batches_total",
        "counter",
        "batches",
        ("topic", "outcome"),
        "Batches of records that could not be taken apart since the start: fetched_again, and in the end passed_over.",
    ),
    Metric(
        "driftflow_messages_total",
        "counter",
        "messages",
        ("topic", "outcome"),
        "Messages of our own topics that were taken or refused.",
    ),
    Metric(
        "driftflow_lag_records",
        "gauge",
        "records",
        ("topic", "partition"),
        "Records of a partition that are not settled; none where not known yet.",
    ),
    Metric(
        "driftflow_unwatched_messages",
        "gauge",
        "messages",
        (),
        "Partials and evidence that were sent and that the worker's own partitions have not taken in.",
    ),
    Metric("driftflow_pending_partitions", "gauge", "partitions", (), "Partitions with work that is not durable yet."),
    Metric("driftflow_partitions", "gauge", "partitions", ("topic",), "Partitions that the worker has."),
    Metric(
        "driftflow_late_blocks",
        "gauge",
        "blocks",
        (),
        "Blocks that came for a pane that was final or passed over, of the partitions that the worker has.",
    ),
    Metric(
        "driftflow_closed_early_panes",
        "gauge",
        "panes",
        (),
        "Panes closed because too many were open, of the partitions that the worker has.",
    ),
    Metric(
        "driftflow_event_time_seconds",
        "gauge",
        "seconds since the epoch",
        (),
        "How far event time has come on the worker's source partitions.",
    ),
    Metric(
        "driftflow_judged_time_seconds",
        "gauge",
        "seconds since the epoch",
        (),
        "Panes that end at or before it are judged, event time; none where JUDGE is elsewhere.",
    ),
    Metric(
        "driftflow_step_seconds",
        "histogram",
        "seconds",
        ("step",),
        f"How long a step took: {_STEPS}.",
        ("worker", "trainer"),
    ),
    Metric(
        "driftflow_step_messages",
        "histogram",
        "messages",
        ("step",),
        "How many messages a step of a stage took in: score, watch, judge.",
    ),
    Metric(
        "driftflow_state_written_bytes_total",
        "counter",
        "bytes",
        ("stage",),
        "State that was written since the start, bases and heads.",
    ),
    Metric(
        "driftflow_spool_points",
        "gauge",
        "points",
        (),
        "Points that wait for the sink, of all workers that share the spool.",
    ),
    Metric(
        "driftflow_spool_set_aside_points", "gauge", "points", (), "Points that the sink will never take as they are."
    ),
    Metric(
        "driftflow_sink_errors_total",
        "counter",
        "tries",
        (),
        "Tries of the sink or the spool that failed, and were made again.",
    ),
    Metric(
        "driftflow_model_age_seconds",
        "gauge",
        "seconds of event time",
        ("model_id",),
        "How far event time is beyond the newest event that the model in service was trained on.",
    ),
    Metric(
        "driftflow_incidents_open",
        "gauge",
        "incidents",
        ("severity", "kind"),
        "Open incidents; none where JUDGE is elsewhere.",
    ),
    Metric("driftflow_failing", "gauge", "1", ("part",), "A part that cannot do its work now and tries again."),
    Metric("driftflow_ready", "gauge", "0 or 1", (), "Whether /readyz says yes.", _ALL),
    Metric(
        "driftflow_trainer_requests_total",
        "counter",
        "requests",
        ("outcome",),
        "Requests that were decided: promoted, refused, covered.",
        ("trainer",),
    ),
    Metric(
        "driftflow_trainer_candidates",
        "gauge",
        "models",
        ("phase",),
        "Models that are not decided: shadow, compared on live events; waiting, for a person.",
        ("trainer",),
    ),
    Metric(
        "driftflow_trainer_sign_seconds",
        "gauge",
        "seconds",
        (),
        "Time since the trainer's loop, or the training in hand, has come round.",
        ("trainer",),
    ),
    Metric(
        "driftflow_console_requests_total",
        "counter",
        "requests",
        ("path", "status"),
        "Requests of the page; paths that are not known are one.",
        ("console",),
    ),
    Metric(
        "driftflow_console_store_age_seconds",
        "gauge",
        "seconds",
        (),
        "Time since the store was written; none where there is none.",
        ("console",),
    ),
    Metric(
        "driftflow_console_store_bytes", "gauge", "bytes", (), "Size of the store's file and its log.", ("console",)
    ),
    Metric(
        "driftflow_notify_messages_total",
        "counter",
        "messages",
        ("channel", "outcome"),
        "Messages to people since the start: delivered, or refused for good and set aside.",
        ("notify",),
    ),
    Metric(
        "driftflow_notify_waiting_messages",
        "gauge",
        "messages",
        ("channel",),
        "Messages that wait for a channel to take them.",
        ("notify",),
    ),
    Metric(
        "driftflow_notify_failing",
        "gauge",
        "0 or 1",
        ("channel",),
        "Whether a channel takes nothing now, and is tried again.",
        ("notify",),
    ),
    Metric("process_cpu_seconds_total", "counter", "seconds", (), "CPU time, user and system.", _ALL),
    Metric("process_resident_memory_bytes", "gauge", "bytes", (), "Memory that is in RAM.", _ALL),
    Metric("process_virtual_memory_bytes", "gauge", "bytes", (), "Address space.", _ALL),
    Metric("process_start_time_seconds", "gauge", "seconds since the epoch", (), "When the process was started.", _ALL),
    Metric("process_open_fds", "gauge", "files", (), "Open file descriptors.", _ALL),
    Metric("process_max_fds", "gauge", "files", (), "Most file descriptors.", _ALL),
)
"""Those of the process itself (``process_…``) are prometheus-client's own."""
