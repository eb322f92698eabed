# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference box with its services as containers: what the tests of Quadlets share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import Engine
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File
from ansible_collections.llmops.inference.plugins.module_utils._gpu.health import DEFAULT_ANSWERS
from ansible_collections.llmops.inference.plugins.module_utils._places import Paths
from ansible_collections.llmops.inference.plugins.module_utils._render import generation
from ansible_collections.llmops.inference.plugins.module_utils._render.quadlet import Containers
from ansible_collections.llmops.inference.tests.unit import scene

IMAGE = "sha256:" + "5d" * 32
NAMES = ("medium", "mini", "micro")


def rendered(
    accelerator: str = "cuda", mounts: Mapping[str, Sequence[str]] | None = None, **keys: Any
) -> dict[str, File]:
    """The files of the reference layout as containers, on three GPUs of 80 GiB or one NUMA node of 200 GiB."""
    layout = scene.reference_layout(**keys)
    if accelerator == "cpu":
        layout = [{key: value for key, value in item.items() if key != "gpus"} for item in layout]
    topology = scene.box(80, 80, 80) if accelerator == "cuda" else scene.node(200, 190)
    made = scene.planned(layout, topology, accelerator=accelerator)
    containers = Containers(IMAGE, 997, 996, mounts or {name: (f"/srv/models/{name}",) for name in NAMES})
    engine = Engine("0.32.0", "vllm", accelerator, "", frozenset({"uds"}), IMAGE)
    box = generation.Box(engine, Paths(), {}, DEFAULT_ANSWERS, b"key", containers=containers)
    return generation.generation(made, scene.parsed(layout, accelerator), box, {"vllm_guard": "code"})
