"""What a process tells of itself over HTTP, and as traces: probes, metrics, spans."""
