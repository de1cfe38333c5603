"""Benchmarks: they report, they do not assert. Their sets stay outside of the project; each command takes a path."""
