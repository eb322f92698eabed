# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference box and its models as files: a plan for them contacts no host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.tests.unit.nvml_box import BOXES, build_standin, read_box
from ansible_collections.llmops.inference.tests.unit.scene import QWEN3_1_7B, QWEN3_8B, QWEN3_32B

MODELS = {"medium": QWEN3_32B, "mini": QWEN3_8B, "micro": QWEN3_1_7B}


def record_reference_box(directory: Path) -> dict[str, Any]:
    """Write the box as gpu_topology_info returns it and config.json of each model; return the playbook's variables."""
    build_standin()
    directory.mkdir()
    topology = directory / "box.json"
    topology.write_text(json.dumps(read_box(BOXES / "reference.box").to_dict()), encoding="utf-8")
    geometries = {}
    for name, geometry in MODELS.items():
        file = directory / f"{name}.json"
        file.write_text(json.dumps(geometry), encoding="utf-8")
        geometries[name] = str(file)
    return {"topology_file": str(topology), "geometry_files": geometries}
