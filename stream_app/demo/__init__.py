"""The demo: the whole loop on real data, on this machine, told while it happens."""

from stream_app.demo.story import run_demo

__all__ = ["run_demo"]
