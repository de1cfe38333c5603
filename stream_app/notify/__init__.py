"""``driftflow notify``: incidents where people are: Alertmanager, webhooks, Slack, PagerDuty, e-mail."""

from stream_app.notify.from_file import run_file
from stream_app.notify.mailing import send_page
from stream_app.notify.process import run_notify
from stream_app.notify.testing import list_waiting, retry_aside, run_test

__all__ = ["list_waiting", "retry_aside", "run_file", "run_notify", "run_test", "send_page"]
