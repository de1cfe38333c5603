"""SCORE: records of one source partition in; pane blocks, event anomalies and dead letters out."""
