# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts engines by hand, as early as their devices allow, and prints the seconds until each has generated a token.

Run on the host as root. Argument: a JSON object with ``executable``, ``devices`` (a list per device of the services on
it, in order), ``ports`` by service and ``environment``, the variables of their unit. Each engine gets them and, from
below ``/srv/hand``, the configuration, the environment and the user that its unit had. Those on one device start one
after the other, as soon as the one before has generated; different devices do not wait for each other. All are killed
at the end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HAND = Path("/srv/hand")
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 600


def environment_of(service: str) -> dict[str, str]:
    """Return the variables of a file that was written for systemd."""
    lines = (HAND / service / "environment").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines)
    return {name: value[1:-1].replace('\\"', '"').replace("\\\\", "\\") for name, _equals, value in pairs}


def start(executable: str, service: str, unit: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start one engine in a session of its own."""
    command = ["setpriv", "--reuid=vllm", "--regid=vllm", "--clear-groups", executable, "serve"]
    command += ["--config", str(HAND / service / "engine.yaml")]
    with (HAND / service / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=f"/var/lib/vllm/services/{service}",
            env={"PATH": os.environ["PATH"], **unit, **environment_of(service)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def await_token(service: str, port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when the engine has generated a token."""
    body = json.dumps({"model": service, "prompt": "Monday", "max_tokens": 1}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", body, {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                if json.load(answer)["usage"]["completion_tokens"]:
                    return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Start all, print the seconds, end all."""
    asked = json.loads(sys.argv[1])
    began = time.monotonic()
    seconds: dict[str, float] = {}
    processes: list[subprocess.Popen[bytes]] = []

    def one_after_the_other(services: list[str]) -> None:
        for service in services:
            process = start(asked["executable"], service, asked["environment"])
            processes.append(process)
            await_token(service, asked["ports"][service], process)
            seconds[service] = round(time.monotonic() - began, 2)

    threads = [threading.Thread(target=one_after_the_other, args=[services]) for services in asked["devices"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
