"""The keys of trainer, workers and operators: their files, whose they are, who may sign, and who is believed."""

from stream_app.models.keys.checks import require_keys
from stream_app.models.keys.private import operator_key, request_key, signing_key
from stream_app.models.keys.trust import Trust, trusted_keys

__all__ = ["Trust", "operator_key", "request_key", "require_keys", "signing_key", "trusted_keys"]
