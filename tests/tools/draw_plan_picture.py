# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws docs/pictures/plan.png: the top of a plan's page, as a browser shows it.

The machine is recorded (tests/gpu/topologies), the layout is that of the tutorial.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ansible_collections.llmops.inference.plugins.filter.plan_html import plan_html
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.tests.unit.browser import opened
from ansible_collections.llmops.inference.tests.unit.scene import QWEN3_8B, YARN, planned, service
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "gpu" / "topologies" / "h100-80gb.json"
PICTURE = ROOT / "docs" / "pictures" / "plan.png"
WIDTH = 900


def main() -> None:
    """Draw it."""
    topology = Topology.from_dict(json.loads(RECORDED.read_text(encoding="utf-8")))
    layout = [service("mini", QWEN3_8B, rope=YARN, max_model_len=131072)]
    host = {"plan": planned(layout, topology).to_dict(), "topology": topology.to_dict()}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "plan.html"
        file.write_text(plan_html({"h100": host}), encoding="utf-8")
        with opened(file, width=WIDTH) as page:
            page.window(WIDTH, 900)
            end = page.evaluate("document.querySelector('.device').getBoundingClientRect().bottom + scrollY + 16")
            drawn = page.picture({"x": 0, "y": 0, "width": WIDTH, "height": end})
    # The page has few colours; letters have shades of them.
    Image.fromarray(drawn).quantize(256).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
