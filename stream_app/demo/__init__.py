"""The demo: the whole loop on real data, on this machine, shown while it happens."""

from stream_app.demo.run import run_demo

__all__ = ["run_demo"]
