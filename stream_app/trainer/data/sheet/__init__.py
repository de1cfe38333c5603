"""The data sheet: what is wrong with the rows of a training, each with its figure and whether it stops the training."""

from stream_app.trainer.data.sheet.findings import DataSheet, Finding
from stream_app.trainer.data.sheet.making import make_sheet

__all__ = ["DataSheet", "Finding", "make_sheet"]
