"""Requests: whether one is believed, what can be wrong with it, what the log holds of it, what became of it."""
