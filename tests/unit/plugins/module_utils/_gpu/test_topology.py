# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import (
    LEVELS,
    Gpu,
    GpuProcess,
    Health,
    Link,
    NumaNode,
    Pcie,
    Topology,
    distance,
)

GIB = 1 << 30

BOX = Topology(
    driver_loaded=True,
    driver_version="580.95.05",
    gpus=(
        Gpu(
            index=0,
            uuid="GPU-0",
            name="NVIDIA H100 PCIe",
            pci_bus_id="0000:17:00.0",
            memory_total_bytes=80 * GIB,
            memory_used_bytes=20 * GIB,
            memory_free_bytes=59 * GIB,
            memory_reserved_bytes=GIB,
            compute_capability="9.0",
            numa_node=0,
            cpu_affinity=(0, 1),
            pcie=Pcie(1, 4, 16, 16),
            mig_enabled=False,
            health=Health("degraded", ("throttled: power brake by the hardware",)),
            processes=(GpuProcess(4242, 20 * GIB, "VLLM::EngineCor"),),
        ),
        Gpu(index=1, health=Health("failed", ("NVML cannot open it: GPU is lost",))),
        Gpu(index=2, uuid="GPU-2"),
    ),
    links=(Link(0, 1), Link(0, 2, "PIX", 0, "ok"), Link(1, 2)),
    numa_nodes=(NumaNode(0, 512 * GIB, 500 * GIB, (0, 1)),),
)


def hand_written(**gpu: Any) -> dict[str, Any]:
    return {"gpus": [{"index": 0, **gpu}]}


def refusal(value: object) -> str:
    with pytest.raises(InferenceError) as refused:
        Topology.from_dict(value)
    return str(refused.value)


def test_a_topology_survives_json() -> None:
    assert Topology.from_dict(json.loads(json.dumps(BOX.to_dict()))) == BOX


def test_the_dict_has_the_documented_keys() -> None:
    plain = BOX.to_dict()
    gpu_keys = (
        "index uuid name pci_bus_id minor_number memory_total_bytes memory_used_bytes memory_free_bytes "
        "memory_reserved_bytes compute_capability numa_node cpu_affinity pcie mig_enabled health processes"
    )
    assert set(plain) == {"driver_loaded", "driver_version", "gpus", "links", "numa_nodes", "problem"}
    assert list(plain["gpus"][0]) == gpu_keys.split()
    assert plain["gpus"][0]["pcie"] == {"generation": 1, "generation_max": 4, "width": 16, "width_max": 16}
    assert plain["links"][1] == {"a": 0, "b": 2, "level": "PIX", "nvlink_count": 0, "p2p_read": "ok"}


def test_a_topology_written_by_hand_needs_little() -> None:
    topology = Topology.from_dict(hand_written(memory_total_bytes=24 * GIB))
    assert topology.driver_loaded
    assert topology.gpus == (Gpu(index=0, memory_total_bytes=24 * GIB),)


def test_nothing_at_all_is_a_host_without_gpus() -> None:
    assert Topology.from_dict({}) == Topology(driver_loaded=False)


def test_gpus_are_put_in_the_order_of_their_index() -> None:
    assert [gpu.index for gpu in Topology.from_dict({"gpus": [{"index": 2}, {"index": 0}]}).gpus] == [0, 2]


def test_a_link_is_found_from_either_end() -> None:
    assert BOX.link(2, 0) == BOX.link(0, 2) == Link(0, 2, "PIX", 0, "ok")


def test_a_link_that_nobody_described_is_unknown_and_farthest() -> None:
    topology = Topology.from_dict({"gpus": [{"index": 0}, {"index": 1}]})
    assert topology.link(1, 0) == Link(0, 1)
    assert topology.distance(0, 1) == len(LEVELS) + 1


def test_a_link_written_backwards_is_turned_round() -> None:
    topology = Topology.from_dict({"gpus": [{"index": 0}, {"index": 1}], "links": [{"a": 1, "b": 0, "level": "PHB"}]})
    assert topology.links == (Link(0, 1, "PHB"),)


def test_distance_grows_from_nvlink_to_sys() -> None:
    distances = [distance(level) for level in ("NVLINK", "PIX", "PXB", "PHB", "NODE", "SYS", None)]
    assert distances == sorted(set(distances))
    assert BOX.distance(0, 0) == 0 < BOX.distance(0, 2) < BOX.distance(0, 1)


def test_asking_for_a_gpu_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(InferenceError, match=r"no GPU 3 on this host; it has 0, 1, 2\."):
        BOX.distance(0, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("GPU", "topology is 'GPU'; a mapping is expected."),
        ({"gpu": []}, "topology has the unknown key 'gpu'; did you mean gpus?"),
        ({"gpus": {}}, "topology.gpus is {}; a list is expected."),
        ({"gpus": [{}]}, "topology.gpus[0].index is None; a whole number of at least 0 is expected."),
        (hand_written(memory_total_byte=1), "did you mean memory_total_bytes?"),
        (hand_written(memory_total_bytes=-1), "memory_total_bytes is -1; a whole number of at least 0"),
        (
            hand_written(memory_total_bytes=float("nan")),
            "memory_total_bytes is nan; a whole number of at least 0",
        ),
        (hand_written(memory_total_bytes=True), "memory_total_bytes is True; a whole number of at least 0"),
        (
            hand_written(memory_total_bytes="80GiB"),
            "memory_total_bytes is '80GiB'; a whole number of at least 0",
        ),
        (
            hand_written(memory_total_bytes=2, memory_free_bytes=3),
            "memory are 3 bytes; memory_total_bytes is 2.",
        ),
        (hand_written(uuid=""), "topology.gpus[0].uuid is ''; a text is expected."),
        (hand_written(cpu_affinity=[0, "1"]), "a list of whole numbers of at least 0 is expected."),
        (hand_written(mig_enabled="no"), "topology.gpus[0].mig_enabled is 'no'; true or false is expected."),
        (hand_written(health={"status": "fine"}), "'fine'; one of ok, degraded, failed is expected."),
        (hand_written(health={"reasons": [1]}), "health.reasons is [1]; a list of texts is expected."),
        (hand_written(processes=[{}]), "topology.gpus[0].processes[0].pid is None"),
        ({"gpus": [{"index": 0}, {"index": 0}]}, "names the index 0 twice"),
        ({"gpus": [{"index": 0, "uuid": "x"}, {"index": 1, "uuid": "x"}]}, "names the uuid x twice"),
        ({"links": [{"a": 0, "b": 1}]}, "topology.links[0] joins GPUs 0 and 1; two different ones of none"),
        (
            hand_written() | {"links": [{"a": 0, "b": 0}]},
            "joins GPUs 0 and 0; two different ones of 0 are expected.",
        ),
        ({"numa_nodes": [{"index": 0}]}, "topology.numa_nodes[0].memory_total_bytes is None"),
    ],
)
def test_a_mistake_in_a_topology_is_named_with_its_place(value: object, text: str) -> None:
    assert text in refusal(value)


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    text = refusal({"gpus": [{"index": 0}, {"index": 1}], "links": [{"a": 0, "b": 1, "level": "NV12"}]})
    assert text == "topology.links[0].level is 'NV12'; one of NVLINK, PIX, PXB, PHB, NODE, SYS is expected."


def test_a_refusal_quotes_no_more_than_a_line_of_a_wrong_value() -> None:
    assert len(refusal("x" * 1_000_000)) < 200
