# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start deployed services by hand on another GPU, with the same flags, and time them: what the collection is held to.

``by_hand.py --gpu 1 --out DIRECTORY mini micro`` starts the services one after the other from the engine.yaml of the
active generation, first with empty caches and then again. It prints JSON, one line per start. Run it on the host,
with the collection on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.tests.gpu.hosts.fault import complete

CURRENT = Path("/etc/vllm/current/services")
LIMIT = 400  # seconds for one start
OFFSET = 1000  # of the ports, from those of the services


def settings(service: str) -> dict[str, str]:
    """Return the environment that the unit gives a service."""
    text = (CURRENT / service / "environment").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return {
        name: shlex.split(value)[0] if value else "" for name, _is, value in (line.partition("=") for line in lines)
    }


def port_of(service: str) -> int:
    """Return the port of a service, from its engine.yaml."""
    lines = (CURRENT / service / "engine.yaml").read_text(encoding="utf-8").splitlines()
    (port,) = [line.partition(":")[2].strip().strip("\"'") for line in lines if line.startswith("port:")]
    return int(port)


def start(engine: str, service: str, gpu: int, out: Path, name: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Start a service and wait for its first token."""
    home = out / f"home-{service}"
    home.mkdir(parents=True, exist_ok=True)
    own = {
        "CUDA_VISIBLE_DEVICES": str(gpu),
        "HOME": str(home),
        "VLLM_CACHE_ROOT": str(home / "vllm"),
        "VLLM_CONFIG_ROOT": str(home / "config"),
        "TRITON_CACHE_DIR": str(home / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"),
    }
    port = port_of(service) + OFFSET
    command = [engine, "serve", "--config", str(CURRENT / service / "engine.yaml"), "--port", str(port)]
    began = time.time()
    with (out / f"{name}.log").open("wb") as log:
        environment = {**os.environ, **settings(service), **own}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=home)
    served = False
    while process.poll() is None and time.time() - began < LIMIT and not served:
        served = complete(port, 1, timeout=20)
        time.sleep(0.1)
    return process, {"start": name, "at": began, "seconds": round(time.time() - began, 1), "served": served}


def main(arguments: list[str]) -> int:
    """Start all services, end them, and start them again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="/opt/vllm/0.32.0/bin/vllm")
    parser.add_argument("--gpu", type=int, required=True, help="by PCI address; nobody else may use it meanwhile")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for the services to be deployed")
    parser.add_argument("service", nargs="+")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    files = [CURRENT / service / "engine.yaml" for service in asked.service]
    deadline = time.monotonic() + asked.wait
    while time.monotonic() < deadline and not all(file.exists() for file in files):
        time.sleep(0.5)
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        parser.error(f"there is no {missing[0]}: deploy the service first")
    for turn in ("first", "later"):
        running = []
        for service in asked.service:
            process, told = start(asked.engine, service, asked.gpu, asked.out, f"{service}-{turn}")
            running.append(process)
            print(json.dumps(told), flush=True)
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        time.sleep(2)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
