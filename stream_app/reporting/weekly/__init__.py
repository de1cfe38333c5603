"""``driftflow report``: a week of a stream for people who run it and are no statisticians."""
