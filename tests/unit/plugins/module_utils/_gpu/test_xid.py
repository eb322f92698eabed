# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver wrote into the kernel log, and whether its GPU may still be used."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.health import apply_health_policy
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Gpu, Health, Topology
from ansible_collections.llmops.inference.plugins.module_utils._gpu.xid import (
    Xid,
    outstanding,
    parse_xid,
    pci_address,
    with_xids,
)
from ansible_collections.llmops.inference.tests.unit import scene

OFF_THE_BUS = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
PAGE_FAULT = "NVRM: Xid (PCI:0000:3b:00): 31, pid=4242, name=VLLM::EngineCor, Ch 00000008, MMU Fault"
ROW = "NVRM: Xid (PCI:0000:af:00): 63, pid=1896, Row Remapper: New row marked for remapping, reset gpu to activate."
RESET = "NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"
SETTLED = "NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"
LOADED = "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  580.95.05"


def test_a_line_gives_address_code_and_process() -> None:
    assert parse_xid(PAGE_FAULT) == Xid("0000:3b:00", 31, 4242, PAGE_FAULT)
    assert parse_xid(OFF_THE_BUS) == Xid("0000:3b:00", 79, None, OFF_THE_BUS)
    older = parse_xid("NVRM: Xid (0000:03:00): 14, Channel 00000001")
    assert older is not None
    assert (older.pci, older.code) == ("0000:03:00", 14)
    assert parse_xid(LOADED) is None


@pytest.mark.parametrize("text", ["0000:3B:00.0", "00000000:3B:00.0", "PCI:0000:3b:00"[4:], "3b:00"])
def test_an_address_has_one_spelling(text: str) -> None:
    assert pci_address(text) == "0000:3b:00"


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ([OFF_THE_BUS], [79]),
        ([PAGE_FAULT], []),
        ([OFF_THE_BUS, LOADED], []),
        ([OFF_THE_BUS, RESET], [79, 154]),
        ([OFF_THE_BUS, RESET, SETTLED], []),
        ([OFF_THE_BUS, SETTLED, RESET], [154]),
    ],
)
def test_only_what_is_not_settled_is_outstanding(lines: list[str], codes: list[int]) -> None:
    assert [xid.code for xid in outstanding(lines).get("0000:3b:00", [])] == codes


def gpus(*addresses: str) -> Topology:
    found = (Gpu(index, uuid=f"GPU-{index}", pci_bus_id=address) for index, address in enumerate(addresses))
    return Topology(gpus=tuple(found))


def test_the_health_of_each_gpu_follows_from_its_own_lines() -> None:
    box = with_xids(gpus("0000:3b:00.0", "0000:af:00.0", "0000:d8:00.0"), [OFF_THE_BUS, ROW, PAGE_FAULT])
    assert [gpu.health.status for gpu in box.gpus] == ["failed", "degraded", "ok"]
    assert box.gpus[0].health.reasons == (f"Xid 79 since boot ({OFF_THE_BUS})",)


def test_what_nvml_said_stays() -> None:
    box = gpus("0000:af:00.0")
    sick = Topology(gpus=(Gpu(0, pci_bus_id="0000:af:00.0", health=Health("failed", ("ECC",))),))
    assert with_xids(sick, [ROW]).gpus[0].health.status == "failed"
    assert with_xids(sick, [ROW]).gpus[0].health.reasons[0] == "ECC"
    assert with_xids(box, []) == box


@pytest.mark.parametrize(
    ("answers", "statuses"),
    [
        ({"failed": "refuse", "degraded": "warn"}, ["failed", "degraded", "ok"]),
        ({"failed": "warn", "degraded": "refuse"}, ["degraded", "failed", "ok"]),
        ({"failed": "ignore", "degraded": "ignore"}, ["ok", "ok", "ok"]),
        ({}, ["failed", "degraded", "ok"]),
    ],
)
def test_a_user_decides_what_health_comes_to(answers: dict[str, str], statuses: list[str]) -> None:
    box = Topology(gpus=tuple(Gpu(n, health=Health(status)) for n, status in enumerate(("failed", "degraded", "ok"))))
    assert [gpu.health.status for gpu in apply_health_policy(answers, box).gpus] == statuses


def test_a_failed_gpu_is_avoided_where_the_layout_allows_and_refused_with_the_way_out_where_it_does_not() -> None:
    addresses = {index: f"0000:{bus}:00.0" for index, bus in enumerate(("3b", "af", "d8"))}
    described = scene.gpus(80, 80, 80)
    box = Topology.from_dict({"gpus": [{**gpu, "pci_bus_id": addresses[gpu["index"]]} for gpu in described]})
    sick = apply_health_policy({}, with_xids(box, [OFF_THE_BUS]))
    assert scene.planned([scene.service("a", gpus={"count": 2})], sick).service("a").device_indices == (1, 2)
    named = scene.planned([scene.service("a", gpus=[0])], sick)
    assert not named.fits
    refusal = named.refusals[0]
    assert "GPU 0 has failed: Xid 79 since boot" in refusal.reason
    assert refusal.nearest_fit is not None
    assert refusal.nearest_fit["text"] == "Move a to GPU 1."
    warned = scene.planned(
        [scene.service("a", gpus=[0])], apply_health_policy({"failed": "warn"}, with_xids(box, [OFF_THE_BUS]))
    )
    assert warned.fits
    assert any("GPU 0 is degraded: Xid 79" in warning for warning in warned.warnings)
