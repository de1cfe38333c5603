"""Without a broker: score a file, replay, evaluate a model, export it."""
