# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of plans in a real browser, on a phone, a tablet and a screen, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.filter.plan_html import plan_html
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.tests.unit.browser import opened
from ansible_collections.llmops.inference.tests.unit.legibility import COLOURS, WIDTHS, unreadable
from ansible_collections.llmops.inference.tests.unit.nvml_box import BOXES, build_standin, read_box
from ansible_collections.llmops.inference.tests.unit.scene import (
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    TINY,
    box,
    node,
    planned,
    reference_layout,
    service,
)

LONG_NAME = "a-service-whose-name-is-as-long-as-a-name-may-be-without-a-space"


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything that a page can show."""
    build_standin()
    pair = [service("medium", QWEN3_32B, gpus={"count": 2}), service("mini", QWEN3_8B), service("micro", QWEN3_1_7B)]
    file = tmp_path_factory.mktemp("looks") / "plan.html"
    hosts = {
        "reference": described(read_box(BOXES / "reference.box"), *reference_layout()),
        "pairs": described(read_box(BOXES / "nvlink-pairs-8.box"), *pair),
        "refused": described(box(24, memory_used_bytes=3 << 30), service("medium", QWEN3_32B)),
        "long": described(box(80), service(LONG_NAME, QWEN3_8B), reserve_bytes=1 << 33),
        "cpu": described(node(24, 20), service("mini", TINY), accelerator="cpu", gpu_memory_budget=0.5),
    }
    file.write_text(plan_html(hosts))
    return file


def described(topology: Topology, *layout: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"plan": planned(layout, topology, **settings).to_dict(), "topology": topology.to_dict()}


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_can_be_read(page_file: Path, width: int, colours: str) -> None:
    assert unreadable(page_file, width, colours) == []


def test_the_answer_is_the_largest_text_of_the_page(page_file: Path) -> None:
    sizes = "[...document.querySelectorAll('body *')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    with opened(page_file) as page:
        page.window(360, 800)
        answer = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.answer')).fontSize)")
        assert answer == page.evaluate(f"Math.max(...{sizes})") >= 22


def test_texts_of_a_bar_do_not_overlap_on_a_phone(page_file: Path) -> None:
    overlapping = """[...document.querySelectorAll('.bar')].flatMap(bar => {
      const texts = [...bar.querySelectorAll('text')];
      const boxes = texts.map(text => text.getBoundingClientRect()).filter(box => box.width);
      return boxes.flatMap((a, place) => boxes.slice(place + 1).filter(b =>
        a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom));
    }).length"""
    with opened(page_file) as page:
        for width in WIDTHS:
            page.window(width, 800)
            assert page.evaluate("document.querySelectorAll('.bar text').length") > 20
            assert page.evaluate(overlapping) == 0, width


@pytest.mark.parametrize(
    ("style", "fault"),
    [
        ("main { min-width: 900px }", "pixels wide in a window of 360"),
        (".answer { font-size: 9px }", "is 9.0 pixels high"),
        (".quiet { color: #aaa }", "has a contrast of"),
        (".bar .in { fill: #1aa }", "has a contrast of"),
    ],
)
def test_a_page_that_cannot_be_read_is_found(page_file: Path, tmp_path: Path, style: str, fault: str) -> None:
    worse = tmp_path / "worse.html"
    worse.write_text(page_file.read_text().replace("</style>", f"{style}</style>", 1))
    assert any(fault in sentence for sentence in unreadable(worse, 360, "light"))
