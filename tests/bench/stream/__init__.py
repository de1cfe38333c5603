"""``make bench-stream``: the whole agent beside its peers, on the same topic and with the same model."""
