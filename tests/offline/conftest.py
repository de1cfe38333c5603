"""The small model and the stream of the stages' tests."""

from tests.stages.conftest import model

__all__ = ["model"]
