# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of plans: complete, correct to the byte, and dependent on nothing; and the playbook that writes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter.plan_html import plan_html
from ansible_collections.llmops.inference.plugins.filter.with_geometry import with_geometry
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.plugin_utils._status_tables import memory_lines
from ansible_collections.llmops.inference.tests.unit.nvml_box import BOXES, build_standin, read_box
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    TINY,
    YARN,
    box,
    node,
    planned,
    reference_layout,
    service,
)

RECORDED = Path(__file__).parents[4] / "gpu" / "topologies"
HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
PAIR = [service("medium", QWEN3_32B, gpus={"count": 2}), service("mini", QWEN3_8B), service("micro", QWEN3_1_7B)]


def described(topology: Topology, *layout: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """What the module returns for a host."""
    return {"plan": planned(layout, topology, **settings).to_dict(), "topology": topology.to_dict()}


def parsed(page: str) -> ElementTree.Element:
    """The page, read strictly: every element has its end."""
    return ElementTree.fromstring(page)


def text_of(page: str) -> str:
    return " ".join("".join(parsed(page).itertext()).split())


def bars(page: str) -> dict[str, list[ElementTree.Element]]:
    """Device id -> the parts of its bar."""
    cards = [card for card in parsed(page).iter(f"{HTML}div") if card.get("data-device")]
    return {card.get("data-device", ""): [r for r in card.iter(f"{SVG}rect") if r.get("data-bytes")] for card in cards}


def percent(part: ElementTree.Element, key: str) -> float:
    return float(part.get(key, "").rstrip("%"))


def box_names() -> list[str]:
    return sorted(path.name for path in BOXES.glob("*.box"))


@pytest.fixture(scope="session", autouse=True)
def _standin() -> None:
    build_standin()


@pytest.mark.parametrize("name", box_names())
def test_the_page_of_every_box_is_well_formed_and_its_bars_sum_to_the_memory(name: str) -> None:
    host = described(read_box(BOXES / name), *PAIR)
    page = plan_html({name: host})
    drawn = bars(page)
    for device in host["plan"]["devices"]:
        if device["services"]:
            parts = drawn[device["id"]]
            assert sum(int(part.get("data-bytes", 0)) for part in parts) == device["total_bytes"]
            assert {part.get("data-service") for part in parts} >= set(device["services"])
            assert max(percent(part, "x") + percent(part, "width") for part in parts) <= 100.001


def test_parts_are_as_long_as_their_bytes() -> None:
    host = described(node(24, 20), service("mini", TINY), accelerator="cpu", gpu_memory_budget=0.5)
    (parts,) = bars(plan_html({"h": host})).values()
    kinds = {part.get("data-kind"): part for part in parts}
    assert set(kinds) >= {"kv_cache", "context", "others", "slack"}
    for part in parts:
        assert percent(part, "width") == pytest.approx(int(part.get("data-bytes", 0)) / (24 * GIB) * 100, abs=1e-4)


def test_on_unlike_devices_each_bar_has_its_own_length() -> None:
    host = described(box(24, 40), service("mini", QWEN3_8B, gpus=[0, 1]))
    for device in host["plan"]["devices"]:
        parts = bars(plan_html({"h": host}))[device["id"]]
        assert sum(int(part.get("data-bytes", 0)) for part in parts) == device["total_bytes"]


def test_the_page_fetches_nothing_and_is_the_same_for_the_same_plans() -> None:
    hosts = {"a": described(read_box(BOXES / "reference.box"), *reference_layout())}
    page = plan_html(hosts)
    assert page == plan_html(hosts)
    assert not re.search(r"(src|href)=|url\(|@import|<script", page)
    assert set(re.findall(r"https?://[^\"]+", page)) == {HTML[1:-1], SVG[1:-1]}


def test_a_refusal_is_on_the_page_with_its_arithmetic_and_what_fits() -> None:
    host = described(box(24), service("medium", QWEN3_32B), service("micro", QWEN3_1_7B, max_model_len=40960))
    host["plan"]["refusals"][0]["nearest_fit"] = {"text": "Buy another card.", "services": {}, "settings": {}}
    said = text_of(plan_html({"h": host}))
    assert "1 refused" in said
    assert "medium: GPU 0 has no room for it" in said
    arithmetic = host["plan"]["refusals"][0]["arithmetic"]
    assert "medium needs weights 61.0" in arithmetic
    assert arithmetic in said
    assert "What fits: Buy another card." in said


def test_the_page_opens_with_the_answer_and_warnings_follow() -> None:
    topology = Topology.from_dict(json.loads((RECORDED / "h100-80gb.json").read_text()))
    host = described(topology, service("mini", QWEN3_8B, rope=YARN, max_model_len=131072))
    said = text_of(plan_html({"h": host}))
    planned_service = host["plan"]["services"][0]
    share = f"{planned_service['gpu_memory_utilization']:.4f} of the card"
    bytes_of_a_token = 36 * 2 * 8 * 128 * 2  # layers, keys and values, heads, head_dim, bytes of bfloat16
    requests = planned_service["memory"]["kv_cache"] / bytes_of_a_token / 131072
    answer = f"mini: 131,072 tokens fit, about {requests:.1f} such requests at once; {share}"
    places = [said.index(text) for text in (answer, "Warning: mini: YaRN is static", "GPU 0 · NVIDIA H100")]
    assert places == sorted(places)


def test_a_service_that_does_not_fit_is_answered_with_the_missing_bytes() -> None:
    host = described(box(24), service("medium", QWEN3_32B), service("micro", QWEN3_1_7B, max_model_len=40960))
    refusal = host["plan"]["refusals"][0]
    missing = (refusal["needed_bytes"] - refusal["available_bytes"]) / GIB
    said = text_of(plan_html({"h": host}))
    assert f"medium: does not fit: {missing:.1f} GiB are missing on a device" in said
    assert said.index("does not fit") < said.index("Refused: medium: GPU 0 has no room for it")


def test_requests_at_once_are_no_more_than_the_engine_takes() -> None:
    host = described(box(80), service("mini", QWEN3_1_7B, max_model_len=1024, max_num_seqs=4))
    assert "1,024 tokens fit, about 4 such requests at once" in text_of(plan_html({"h": host}))


def test_both_sizes_of_one_card_are_explained() -> None:
    said = text_of(plan_html({"h": described(read_box(BOXES / "reference.box"), *reference_layout())}))
    assert "79.1 GiB to divide · 79.6 GiB by nvidia-smi, 0.5 GiB of it kept by the driver" in said
    assert "Memory in this picture is what nvidia-smi shows" in said
    assert "nvidia-smi" not in text_of(plan_html({"h": described(box(80), service("mini", QWEN3_8B))}))


def test_context_means_tokens_alone() -> None:
    page = plan_html({"h": described(box(80), service("mini", QWEN3_8B))})
    shown = {element.text for element in parsed(page).iter(f"{HTML}th")}
    assert "context, tokens" in shown
    assert "CUDA 1.3 GiB" in text_of(page)
    assert not re.search(r"context \d", text_of(page))
    on_cpu = described(node(24, 20), service("mini", TINY), accelerator="cpu", gpu_memory_budget=0.5)
    assert "process" in text_of(plan_html({"h": on_cpu}))
    assert "CUDA" not in text_of(plan_html({"h": on_cpu}))


def test_names_from_outside_are_text_on_the_page() -> None:
    topology = box(80, name="<script>alert(1)</script>")
    host = described(topology, service("mini", QWEN3_8B))
    page = plan_html({'<b>&"host': host})
    assert "<script>" not in page
    assert '<b>&"host' in text_of(page)


def test_paths_between_gpus_are_drawn_and_all_pairs_are_in_the_matrix() -> None:
    page = plan_html({"h": described(read_box(BOXES / "nvlink-pairs-8.box"), *PAIR)})
    arcs = [path for path in parsed(page).iter(f"{SVG}path") if (path.get("class") or "").startswith("arc")]
    assert sum("NVLINK" in (arc.get("class") or "") for arc in arcs) == 4
    cells = [cell for cell in parsed(page).iter(f"{HTML}td") if (cell.get("class") or "").startswith("level")]
    assert len(cells) == 8 * 7


def test_a_host_without_gpus_or_services_has_a_page_too() -> None:
    assert "Nothing is planned" in text_of(plan_html({"h": described(box(80))}))
    assert parsed(plan_html({"h": described(read_box(BOXES / "no-gpu.box"))})) is not None


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="dictionary of hosts"):
        plan_html({"h": {}})


def test_geometries_go_to_the_services_of_that_name_or_model() -> None:
    layout: list[dict[str, Any]] = [{"name": "a", "model": "m"}, {"name": "c"}]
    layout.insert(1, {"name": "b", "model": "m", "geometry": {"rope_theta": 7}})
    found = with_geometry(layout, {"m": {"hidden_size": 1, "rope_theta": 1}})
    assert [item.get("geometry") for item in found] == [
        {"hidden_size": 1, "rope_theta": 1},
        {"hidden_size": 1, "rope_theta": 7},
        None,
    ]
    with pytest.raises(AnsibleFilterError, match=r"is called x; it has a, b, c, m"):
        with_geometry(layout, {"x": {}})


def test_predicted_and_actual_memory_stand_side_by_side() -> None:
    expected = {"kv_cache_tokens": 1010, "kv_cache_bytes": GIB, "weights_bytes": GIB, "outside_bytes": GIB}
    used = {"kv_cache_tokens": 1000, "kv_cache_bytes": 2 * GIB, "weights_bytes": None, "outside_bytes": 0}
    lines = memory_lines(
        [{"name": "a", "predicted": expected, "actual": used}, {"name": "b", "predicted": None, "actual": None}]
    )
    assert " ".join(lines[1].split()) == "a 1010 / 1000 1.00 / 2.00 GiB +1.00% 1.00 / - GiB 1.00 / 0.00 GiB"
    assert "- / -" in lines[2]


# The playbook


def config_of(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json as the hub has it."""
    values = dict(geometry)
    return {**values, "architectures": [values.pop("architecture")], "torch_dtype": values.pop("dtype")}


def test_the_playbook_plans_a_recorded_machine_with_no_host_and_writes_the_page(tmp_path: Path) -> None:
    recorded = {"topology": read_box(BOXES / "reference.box").to_dict(), "changed": False}
    (tmp_path / "box.json").write_text(json.dumps(recorded))
    layout = [{key: value for key, value in item.items() if key != "geometry"} for item in reference_layout()]
    shapes = {"medium": QWEN3_32B, "mini": QWEN3_8B, "/srv/models/micro": QWEN3_1_7B}
    for place, geometry in enumerate(shapes.values()):
        (tmp_path / f"{place}.json").write_text(json.dumps(config_of(geometry)))
    files = {name: f"{place}.json" for place, name in enumerate(shapes)}
    (tmp_path / "layout.yml").write_text(yaml.safe_dump({"vllm_services_layout": layout, "geometry_files": files}))

    collections = [path for path in sys.path if (Path(path) / "ansible_collections").is_dir()]
    env = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(collections),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "llmops.inference.plan"]
    command += ["-e", "topology_file=box.json", "-e", "@layout.yml"]
    answer = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "131072" in answer.stdout
    page = (tmp_path / "plan.html").read_text()
    assert len(bars(page)) == 3
    assert "GPU 2 · NVIDIA H100 PCIe" in text_of(page)
