"""driftflow: a stream-processing drift and anomaly monitor."""

__version__ = "0.1.0"
