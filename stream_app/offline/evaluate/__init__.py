"""``driftflow evaluate``: how good a model is, as a page that people look at."""
