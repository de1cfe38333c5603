"""``make bench-blind``: bad input of every kind, and whether driftflow reads it right or says that it cannot."""
