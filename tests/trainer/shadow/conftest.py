"""The world of these tests."""

from tests.trainer.shadow.worlds import prepared, world

__all__ = ["prepared", "world"]
