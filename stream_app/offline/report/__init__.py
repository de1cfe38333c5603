"""``driftflow score --report``: what a run has found, as a page for people who would rather look."""
