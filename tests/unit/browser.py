# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page in a real browser: what it complained of, what it asked for, and what it shows.

Talks the DevTools protocol to Chromium over two pipes, which takes no driver, no port and no network.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def browser_command() -> str:
    """The browser of this machine; without one the test is skipped."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed (any of {', '.join(NAMES)}; Debian: chromium-headless-shell)")
    return found


class Page:
    """A page that was opened; ``complaints`` and ``requests`` are all since then."""

    def __init__(self, commands: io.RawIOBase, answers: io.RawIOBase) -> None:
        self._commands, self._answers, self._buffer = commands, answers, b""
        self._number, self._session = 0, ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.loaded = False

    def attach(self, width: int, height: int) -> None:
        """Make a tab and listen to everything it says."""
        target = self._call("Target.createTarget", url="about:blank", width=width, height=height)["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, file: Path) -> None:
        """Load a file and wait until it is there with all it asked for."""
        self._call("Page.navigate", url=file.as_uri())
        while not self.loaded:
            self._hear(self._read())

    def close(self) -> None:
        """End the browser with all its processes."""
        self._session = ""
        self._call("Browser.close")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def plots(self) -> list[dict[str, float]]:
        """Return the boxes of all plots, in pixels of the whole page."""
        found = self.evaluate(
            "JSON.stringify([...document.querySelectorAll('svg.plot')].map(plot => {"
            "  const box = plot.getBoundingClientRect();"
            "  return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height}}))"
        )
        parsed: list[dict[str, float]] = json.loads(found)
        return parsed

    def colours(self, name: str) -> None:
        """Show the page as a reader sees it who prefers ``light`` or ``dark``."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def window(self, width: int, height: int) -> None:
        """Give the page a window of that size; a narrow window is a phone's."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def picture(self, box: dict[str, float]) -> numpy.ndarray[Any, Any]:
        """Return what is drawn in a box of the page, as rows of pixels of three bytes."""
        answer = self._call("Page.captureScreenshot", clip={**box, "scale": 1}, captureBeyondViewport=True)
        return numpy.asarray(Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB"))

    def data_drawn(self, box: dict[str, float]) -> int:
        """Return how many pixels of a box are of a colour, neither ground nor grey: the lines and points of data."""
        values = self.picture(box).astype(int)
        return int(((values.max(axis=2) - values.min(axis=2)) > 60).sum())

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._hear(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = self._answers.read(1 << 20)
            assert more, "the browser ended"
            self._buffer += more
        line, _end, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _hear(self, event: dict[str, Any]) -> None:
        method, said = event.get("method"), event.get("params", {})
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(said))
        elif method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True


@contextmanager
def opened(file: Path, width: int = 1200, height: int = 900) -> Iterator[Page]:
    """Open a file in the browser of this machine."""
    command = browser_command()
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser takes its commands on descriptor 3 and answers on 4.
        line = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
        process = subprocess.Popen(
            ["bash", "-c", line, command, *options, f"--user-data-dir={profile}"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            with open(commands, "wb", buffering=0) as writer, open(answers, "rb", buffering=0) as reader:
                page = Page(writer, reader)
                page.attach(width, height)
                page.open(file)
                yield page
                page.close()
        finally:
            process.terminate()
            process.wait()


def assert_shows(file: Path, plots: int, colours: str = "light") -> None:
    """A page has so many plots and none of them is empty; it asked for nothing, and nothing was complained of."""
    with opened(file) as page:
        page.colours(colours)
        boxes = page.plots()
        assert len(boxes) == plots
        for box in boxes:
            assert box["width"] > 800
            assert page.data_drawn(box) > 300, box
        assert page.requests == [file.as_uri()]
        assert page.complaints == []
        ground = page.picture({"x": 0, "y": 0, "width": 5, "height": 5}).mean()
        assert (ground > 200) == (colours == "light")
