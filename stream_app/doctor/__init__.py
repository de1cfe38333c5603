"""Begins with a stream, and finds out what is wrong with one: from a sample of its events and what its parts say."""
