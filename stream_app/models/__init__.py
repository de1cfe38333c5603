"""Signed models on disk, shared by worker, trainer and offline: keys, registry, loading, listing."""
