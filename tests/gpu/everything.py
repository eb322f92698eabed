# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every GPU test that the machine at hand can run, and say which are skipped and why (make test-gpu).

With an inventory the scenarios run against its one host of group ``vllm``. With a kit (box/make_kit) this machine,
which has a GPU and no systemd, becomes that host. With an engine's Python the matrix of starts is measured here.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

from ansible_collections.llmops.inference.tests.gpu.gpu_memory import count_gpus, why_no_gpu

HERE = Path(__file__).parent
PACKAGE = "ansible_collections.llmops.inference.tests.gpu"
PAIR, THREE = ["pair", "faults"], ["three", "three-more"]


def in_box(kit: Path, gpus: int) -> int:
    """Run the scenarios in the box of this machine, within it."""
    box = str(HERE / "box" / "box")
    started = subprocess.run([box, "--kit", str(kit), "up"], check=False).returncode
    if started != 0:
        return started
    home = kit / "collections" / "ansible_collections" / "llmops" / "inference" / "tests" / "gpu"
    scenarios = PAIR + (THREE if gpus > 1 else [])
    if gpus < 2:
        print(f"{', '.join(THREE)}: skipped: they need 2 GPUs, and there is one")
    command = [
        "env",
        f"ANSIBLE_COLLECTIONS_PATH={kit}/collections",
        "/usr/bin/python3.12",
        str(home / "hosts" / "run.py"),
    ]
    command += ["--inventory", str(home / "box" / "inventory"), "--programs", f"{kit}/controller/bin"]
    command += ["--out", str(kit / "results" / "hosts"), *scenarios]
    subprocess.run([box, "--kit", str(kit), "start", "scenarios", *command], check=True)
    return subprocess.run([box, "--kit", str(kit), "wait", "scenarios", "7200"], check=False).returncode


def on_host(inventory: str, out: Path, scenarios: list[str]) -> int:
    """Run the scenarios against the host of an inventory, whose layouts are those of box/inventory."""
    command = [sys.executable, str(HERE / "hosts" / "run.py"), "--inventory", inventory, "--out", str(out)]
    command += ["--programs", str(Path(sys.executable).parent)]
    return subprocess.run([*command, *scenarios], check=False).returncode


def main(arguments: list[str]) -> int:
    """Run what can run; return whether all of that passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inventory", help="of a GPU host whose services may be restarted and killed")
    parser.add_argument("--kit", type=Path, help="a directory that box/make_kit wrote")
    parser.add_argument("--engine", help="the Python of an environment with vLLM, for the matrix")
    parser.add_argument("--gpus", type=int, default=1, help="of the inventory's host")
    asked = parser.parse_args(arguments)
    if asked.kit and not (asked.kit / "engine-version").is_file():
        parser.error(f"{asked.kit} is no kit: make one with tests/gpu/box/make_kit {asked.kit}")
    out = Path("build") / "gpu" / datetime.datetime.now(tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")
    failed = []
    reason = why_no_gpu()
    if asked.inventory:
        scenarios = PAIR + (THREE if asked.gpus > 1 else [])
        failed += ["scenarios on the host"] if on_host(asked.inventory, out / "hosts", scenarios) else []
    else:
        print("scenarios on a host: skipped: no inventory was given (INVENTORY=...)")
    if asked.kit and not reason:
        failed += ["scenarios in the box"] if in_box(asked.kit.resolve(), count_gpus()) else []
    else:
        print(f"scenarios in the box: skipped: {reason or 'no kit was given (KIT=...)'}")
    if asked.engine and not reason:
        command = [asked.engine, "-m", f"{PACKAGE}.matrix", "--out", str(out / "matrix")]
        failed += ["matrix of starts"] if subprocess.run(command, check=False).returncode else []
    else:
        missing = "no Python with an engine was given (ENGINE=/opt/vllm/VERSION/bin/python)"
        print(f"matrix of starts: skipped: {reason or missing}")
    if failed:
        print(f"failed: {', '.join(failed)}; the logs are in {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
