"""What tests do with a browser."""

from __future__ import annotations

import time
from typing import Any

from stream_app.console.server import Handle

LIVE = "document.getElementById('live-text').textContent"
TITLE = "document.getElementById('slice-title').textContent"
DRAWN = "document.querySelectorAll('.chart canvas').length"

INK = """
const canvas = document.querySelector(`#${arguments[0]} canvas`);
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const probe = document.createElement('canvas').getContext('2d');
probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(arguments[1]).trim();
probe.fillRect(0, 0, 1, 1);
const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
let n = 0;
for (let i = 0; i < pixels.length; i += 4) {
  const off = Math.abs(pixels[i] - r) + Math.abs(pixels[i + 1] - g) + Math.abs(pixels[i + 2] - b);
  if (off < 12 && pixels[i + 3] > 200) n++;
}
return n;
"""
"""Pixels of a canvas that have the colour of a name of the style sheet."""


def open_page(browser: Any, handle: Handle, width: int = 1280, scheme: str = "light", address: str = "") -> None:
    """Load the page as it is on a screen of that width."""
    size = {"width": width, "height": 2000, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")
    browser.get_log("browser")  # what a page before this one has said
    browser.get(handle.url + address)


def wait(browser: Any, script: str, wanted: object, seconds: float = 20.0) -> None:
    """Until an expression of the page is what is wanted."""
    until = time.monotonic() + seconds
    while (found := browser.execute_script(f"return {script}")) != wanted:
        assert time.monotonic() < until, f"{found!r} is not {wanted!r}: {browser.get_log('browser')}"
        time.sleep(0.05)
