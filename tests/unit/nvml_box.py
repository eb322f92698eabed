# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a box through the unmodified pynvml and the stand-in library, in a process of its own.

pynvml keeps the library that it has loaded for the life of a process, hence one process per box.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology

ROOT = Path(__file__).resolve().parents[2]
STANDIN = ROOT / "tests" / "nvml"
BOXES = STANDIN / "boxes"
LIBRARIES = ROOT / "build" / "nvml"

READ = """
import json, sys
from ansible_collections.llmops.inference.plugins.module_utils._gpu.nvml import read_gpus
print(json.dumps(read_gpus(*sys.argv[1:]).to_dict()))
"""


def build_standin() -> None:
    """Build the library and its variants; make does nothing where they are up to date."""
    made = subprocess.run(["make", "-C", str(STANDIN)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, f"the NVML stand-in does not build (gcc and make are needed):\n{made.stderr}"


def environment(box: Path | None, variant: str = "", trace: Path | None = None) -> dict[str, str]:
    """Return the environment of a process on a host that has this box."""
    env = dict(os.environ, LD_LIBRARY_PATH=str(LIBRARIES / variant))
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    # A file that is not there is a machine without a driver, whatever /etc/nvml-standin.box may say.
    env["NVML_STANDIN_BOX"] = str(box or "/nonexistent.box")
    if trace is not None:
        env["NVML_STANDIN_TRACE"] = str(trace)
    return env


def read_box(
    box: Path | None,
    variant: str = "",
    trace: Path | None = None,
    proc: Path = Path("/proc"),
    pci_devices: Path = Path("/nonexistent"),
) -> Topology:
    """Read a box; without the machine's own PCI devices, unless they are given."""
    answer = subprocess.run(
        [sys.executable, "-c", READ, str(proc), str(pci_devices)],
        env=environment(box, variant, trace),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return Topology.from_dict(json.loads(answer.stdout))
