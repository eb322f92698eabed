# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test goes through the unmodified pynvml and the stand-in library."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Gpu, Health, Topology
from ansible_collections.llmops.inference.tests.unit.nvml_box import (
    BOXES,
    READ,
    build_standin,
    environment,
    read_box,
)

MIB = 1 << 20
GIB = 1 << 30
GPU = 'gpu bus=0000:17:00.0 uuid=GPU-0 name="NVIDIA A100 80GB PCIe" memory=80GiB reserved=529MiB compute=8.0 '
TWO_GPUS = f"{GPU} pcie=4x16\ngpu bus=0000:18:00.0 uuid=GPU-1 name=A100 memory=80GiB compute=8.0\n"

Describe = Callable[[str], Path]


@pytest.fixture(scope="session", autouse=True)
def _standin() -> None:
    build_standin()


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    """Write a description of a box and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "test.box"
        path.write_text(f"driver version=580.95.05\n{text}\n")
        return path

    return write


def levels(topology: Topology) -> dict[tuple[int, int], str | None]:
    return {(link.a, link.b): link.level for link in topology.links}


# ---- the fixture boxes


def test_the_reference_box_is_three_gpus_of_which_two_share_a_pcie_4_switch() -> None:
    box = read_box(BOXES / "reference.box")
    assert (box.driver_loaded, box.driver_version, box.problem) == (True, "580.95.05", None)
    assert levels(box) == {(0, 1): "PIX", (0, 2): "NODE", (1, 2): "NODE"}
    assert [link.p2p_read for link in box.links] == ["ok", "chipset_not_supported", "chipset_not_supported"]
    assert all((gpu.pcie.generation, gpu.pcie.width) == (4, 16) for gpu in box.gpus)
    assert box.gpus[2] == Gpu(
        index=2,
        uuid="GPU-a1f3c0de-0000-4000-8000-000000000002",
        name="NVIDIA H100 PCIe",
        pci_bus_id="0000:65:00.0",
        minor_number=2,
        memory_total_bytes=81559 * MIB,
        memory_used_bytes=0,
        memory_free_bytes=(81559 - 551) * MIB,
        memory_reserved_bytes=551 * MIB,
        compute_capability="9.0",
        numa_node=0,
        cpu_affinity=tuple(range(32)),
        pcie=box.gpus[0].pcie,
        mig_enabled=False,
    )


def test_nvlink_bridges_join_pairs_and_nothing_else() -> None:
    box = read_box(BOXES / "nvlink-pairs-8.box")
    joined = {(link.a, link.b): link.nvlink_count for link in box.links if link.level == "NVLINK"}
    assert joined == {(0, 1): 12, (2, 3): 12, (4, 5): 12, (6, 7): 12}
    assert len(box.links) == 28
    assert box.link(1, 2).level == "NODE"
    assert box.link(3, 4).level == "SYS"


def test_nvswitches_join_every_gpu_to_every_other() -> None:
    box = read_box(BOXES / "nvswitch-8.box")
    assert {(link.level, link.nvlink_count) for link in box.links} == {("NVLINK", 18)}


def test_two_sockets_have_two_numa_nodes_and_no_peer_access_between_them() -> None:
    box = read_box(BOXES / "two-sockets-4.box")
    assert [gpu.numa_node for gpu in box.gpus] == [0, 0, 1, 1]
    assert box.gpus[3].cpu_affinity == (*range(16, 32), *range(48, 64))
    assert [link.p2p_read for link in box.links if link.level == "SYS"] == ["chipset_not_supported"] * 4
    assert {link.nvlink_count for link in box.links} == {0}


def test_an_idle_pcie_link_shows_what_it_is_and_what_it_can_be() -> None:
    pcie = read_box(BOXES / "two-sockets-4.box").gpus[1].pcie
    assert (pcie.generation, pcie.generation_max, pcie.width, pcie.width_max) == (1, 4, 16, 16)


def test_mig_is_reported_on_its_gpu_and_the_memory_of_its_process_is_unknown() -> None:
    box = read_box(BOXES / "mig.box")
    assert [gpu.mig_enabled for gpu in box.gpus] == [False, True]
    assert [(process.pid, process.used_bytes) for process in box.gpus[1].processes] == [(4242, None)]
    assert box.gpus[1].memory_used_bytes == 20 * GIB


def test_a_gpu_that_cannot_do_mig_does_not_say_whether_it_is_on() -> None:
    assert read_box(BOXES / "two-sockets-4.box").gpus[0].mig_enabled is None


def test_a_lost_gpu_is_failed_and_the_others_are_read() -> None:
    box = read_box(BOXES / "lost-gpu.box")
    assert box.gpus[1] == Gpu(index=1, health=Health("failed", ("NVML cannot open it: GPU is lost",)))
    assert [gpu.health.status for gpu in box.gpus] == ["ok", "failed", "ok"]
    assert levels(box) == {(0, 1): None, (0, 2): "NODE", (1, 2): None}


# ---- what is not there is data


def test_a_driver_without_a_gpu_says_so() -> None:
    box = read_box(BOXES / "no-gpu.box")
    assert (box.driver_loaded, box.driver_version, box.gpus) == (True, "580.95.05", ())
    assert box.problem == "The NVIDIA driver is loaded and finds no GPU."


def test_a_driver_that_is_not_loaded_says_so() -> None:
    box = read_box(None)
    assert (box.driver_loaded, box.gpus, box.links) == (False, (), ())
    assert "kernel driver is not loaded" in str(box.problem)


def test_a_library_that_is_not_there_says_so() -> None:
    box = read_box(None, variant="no-such-directory")
    assert not box.driver_loaded
    assert "there is no libnvidia-ml.so.1" in str(box.problem)


def test_a_python_without_pynvml_names_itself_and_the_package() -> None:
    hidden = "import sys; sys.modules['pynvml'] = None\n" + READ
    answer = subprocess.run(
        [sys.executable, "-c", hidden], env=environment(None), capture_output=True, text=True, check=True
    )
    assert f"nvidia-ml-py is not installed for {sys.executable}" in answer.stdout


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("version_mismatch", "the kernel still runs the older one: reboot"),
        ("no_permission", "run with root's rights"),
        ("unknown", "NVML does not start: Unknown Error."),
    ],
)
def test_a_driver_that_does_not_start_says_why(describe: Describe, error: str, text: str) -> None:
    box = read_box(describe(f"init error={error}"))
    assert not box.driver_loaded
    assert text in str(box.problem)


# ---- questions that a GPU refuses


def test_an_older_driver_answers_by_its_older_functions(describe: Describe) -> None:
    text = f"{TWO_GPUS}nvlink a=0 b=1 count=4\nprocess gpu=0 pid=7 used=1GiB"
    new, old = read_box(describe(text)).gpus[0], read_box(describe(text), "older-driver").gpus[0]
    assert (old.processes, old.memory_free_bytes) == (new.processes, new.memory_free_bytes)
    assert (old.memory_reserved_bytes, new.memory_reserved_bytes) == (None, 529 * MIB)
    assert old.memory_used_bytes == (new.memory_used_bytes or 0) + 529 * MIB


def test_an_older_driver_tells_direct_nvlinks_and_throttling_too(describe: Describe) -> None:
    text = TWO_GPUS.replace("pcie=4x16", "throttle=hw_slowdown") + "nvlink a=0 b=1 count=4"
    box = read_box(describe(text), "older-driver")
    assert (box.link(0, 1).level, box.link(0, 1).nvlink_count) == ("NVLINK", 4)
    assert box.gpus[0].health.reasons == ("throttled: hardware slowdown",)


def test_a_library_that_knows_no_question_still_counts_its_gpus() -> None:
    box = read_box(BOXES / "reference.box", "bare")
    assert box.gpus == (Gpu(index=0), Gpu(index=1), Gpu(index=2))
    assert levels(box) == {(0, 1): None, (0, 2): None, (1, 2): None}


def test_one_refused_value_is_null_and_the_gpu_is_well(describe: Describe) -> None:
    box = read_box(describe(f"{TWO_GPUS}fail gpu=0 function=nvmlDeviceGetMemoryInfo* error=not_supported"))
    assert (box.gpus[0].memory_total_bytes, box.gpus[0].health.status) == (None, "ok")
    assert box.gpus[0].name == "NVIDIA A100 80GB PCIe"
    assert box.gpus[1].memory_total_bytes == 80 * GIB


def test_an_error_that_no_healthy_gpu_gives_degrades_it(describe: Describe) -> None:
    box = read_box(describe(f"{TWO_GPUS}fail gpu=1 function=nvmlDeviceGetName error=corrupted_inforom"))
    assert box.gpus[1].health == Health("degraded", ("nvmlDeviceGetName: Corrupted infoROM",))
    assert box.gpus[0].health.status == "ok"


def test_a_gpu_lost_while_it_is_read_keeps_what_the_driver_remembers(describe: Describe, tmp_path: Path) -> None:
    trace = tmp_path / "calls"
    box = read_box(describe(TWO_GPUS.replace("pcie=4x16", "lost=questions")), trace=trace)
    assert box.gpus[0].health == Health("failed", ("NVML lost it: GPU is lost",))
    assert (box.gpus[0].pci_bus_id, box.gpus[0].memory_total_bytes) == ("0000:17:00.0", None)
    assert box.gpus[1].memory_total_bytes == 80 * GIB
    assert Counter(trace.read_text().split())["nvmlDeviceGetUUID"] == 1, "a lost GPU is asked nothing more"


def test_a_gpu_that_needs_a_reset_is_failed(describe: Describe) -> None:
    box = read_box(describe(f"{GPU}\nfail gpu=0 function=nvmlDeviceGetNvLinkState error=reset_required"))
    assert box.gpus[0].health == Health("failed", ("NVML lost it: GPU requires restart",))


def test_a_gpu_that_we_may_not_open_is_failed_with_the_reason(describe: Describe) -> None:
    box = read_box(describe(f"{GPU}\nfail gpu=0 function=nvmlDeviceGetHandleByIndex error=no_permission"))
    assert box.gpus[0].health == Health("failed", ("NVML cannot open it: Insufficient Permissions",))


@pytest.mark.parametrize("name", ["reference", "lost-gpu", "no-gpu", "mig"])
@pytest.mark.parametrize("variant", ["", "bare"])
def test_nvml_is_shut_down_as_often_as_it_is_started(tmp_path: Path, name: str, variant: str) -> None:
    read_box(BOXES / f"{name}.box", variant, trace=tmp_path / "calls")
    calls = Counter((tmp_path / "calls").read_text().split())
    assert calls["nvmlInit"] == calls["nvmlShutdown"] == 1


# ---- health


@pytest.mark.parametrize(
    ("condition", "status", "reason"),
    [
        ("ecc_uncorrected=3", "failed", "uncorrectable ECC errors since the driver was loaded: 3"),
        ("row_remap_failed=yes", "failed", "a row of memory could not be remapped: replace the GPU"),
        ("row_remap_pending=yes", "degraded", "a row remapping waits for a GPU reset"),
        ("retired_pages_pending=yes", "degraded", "a page retirement waits for a reboot"),
        ("throttle=hw_slowdown", "degraded", "throttled: hardware slowdown"),
        ("throttle=sw_thermal", "degraded", "throttled: thermal slowdown by the driver"),
        ("throttle=idle,hw_thermal", "degraded", "throttled: thermal slowdown by the hardware"),
        ("throttle=power_brake", "degraded", "throttled: power brake by the hardware"),
    ],
)
def test_a_sick_gpu_says_what_is_wrong(describe: Describe, condition: str, status: str, reason: str) -> None:
    assert read_box(describe(GPU + condition)).gpus[0].health == Health(status, (reason,))


@pytest.mark.parametrize("condition", ["throttle=idle", "throttle=power_cap", "row_remap_pending=unsupported"])
def test_what_a_healthy_gpu_shows_is_no_reason(describe: Describe, condition: str) -> None:
    assert read_box(describe(GPU + condition)).gpus[0].health == Health("ok", ())


def test_a_failed_gpu_also_tells_its_lesser_troubles(describe: Describe) -> None:
    health = read_box(describe(GPU + "ecc_uncorrected=1 row_remap_pending=yes")).gpus[0].health
    assert (health.status, len(health.reasons)) == ("failed", 2)


# ---- memory and processes


def test_reserved_memory_is_neither_free_nor_used(describe: Describe) -> None:
    gpu = read_box(describe(f"{GPU}\nprocess gpu=0 pid=7 used=10GiB")).gpus[0]
    assert (gpu.memory_reserved_bytes, gpu.memory_used_bytes) == (529 * MIB, 10 * GIB)
    assert gpu.memory_free_bytes == 80 * GIB - 529 * MIB - 10 * GIB


def test_a_process_is_listed_once_with_its_bytes_and_the_kernels_name(describe: Describe, tmp_path: Path) -> None:
    (tmp_path / "proc/4242").mkdir(parents=True)
    (tmp_path / "proc/4242/comm").write_text("VLLM::EngineCor\n")
    text = (
        f"{GPU}\nprocess gpu=0 pid=4242 used=61GiB\nprocess gpu=0 pid=4242 used=1GiB kind=graphics\n"
        "process gpu=0 pid=17 used=12MiB kind=graphics\nprocess gpu=0 pid=99 used=2GiB kind=mps"
    )
    processes = read_box(describe(text), proc=tmp_path / "proc").gpus[0].processes
    assert [(process.pid, process.used_bytes, process.name) for process in processes] == [
        (17, 12 * MIB, None),
        (99, 2 * GIB, None),
        (4242, 61 * GIB, "VLLM::EngineCor"),
    ]


# ---- NUMA and links


def test_the_kernel_tells_the_numa_node_that_nvml_does_not(describe: Describe, tmp_path: Path) -> None:
    (tmp_path / "pci/0000:17:00.0").mkdir(parents=True)
    (tmp_path / "pci/0000:17:00.0/numa_node").write_text("1\n")
    assert read_box(describe(GPU), pci_devices=tmp_path / "pci").gpus[0].numa_node == 1


def test_a_numa_node_that_nobody_knows_is_null(describe: Describe, tmp_path: Path) -> None:
    (tmp_path / "pci/0000:17:00.0").mkdir(parents=True)
    (tmp_path / "pci/0000:17:00.0/numa_node").write_text("-1\n")
    assert read_box(describe(GPU), pci_devices=tmp_path / "pci").gpus[0].numa_node is None


def test_a_gpu_whose_own_memory_is_a_numa_node_is_near_the_node_with_cpus(describe: Describe) -> None:
    assert read_box(describe(f"{GPU} numa=0 own_numa=9")).gpus[0].numa_node == 0


@pytest.mark.parametrize(
    ("level", "expected"),
    [("INTERNAL", "PIX"), ("PIX", "PIX"), ("PXB", "PXB"), ("PHB", "PHB"), ("NODE", "NODE"), ("SYS", "SYS")],
)
def test_a_common_ancestor_has_the_name_that_nvidia_smi_gives_it(describe: Describe, level: str, expected: str) -> None:
    assert read_box(describe(f"{TWO_GPUS}pair a=0 b=1 level={level}")).link(0, 1).level == expected


@pytest.mark.parametrize("status", ["gpu_not_supported", "topology_not_supported", "disabled_by_regkey", "unknown"])
def test_a_refused_peer_read_says_why(describe: Describe, status: str) -> None:
    assert read_box(describe(f"{TWO_GPUS}pair a=0 b=1 p2p_read={status}")).link(0, 1).p2p_read == status


def test_nvlinks_that_are_down_do_not_count(describe: Describe) -> None:
    text = f"{TWO_GPUS}pair a=0 b=1 level=PXB\nnvlink a=0 b=1 count=8 active=no"
    link = read_box(describe(text)).link(0, 1)
    assert (link.level, link.nvlink_count) == ("PXB", 0)


def test_nvlinks_that_the_driver_refuses_for_peer_access_are_counted_but_not_trusted(
    describe: Describe,
) -> None:
    text = f"{TWO_GPUS}nvlink a=0 b=1 count=8\npair a=0 b=1 level=PXB p2p_nvlink=disabled_by_regkey"
    link = read_box(describe(text)).link(0, 1)
    assert (link.level, link.nvlink_count) == ("PXB", 8)


def test_one_gpu_with_a_link_to_a_switch_joins_nothing(describe: Describe) -> None:
    link = read_box(describe(f"{TWO_GPUS}nvlink gpu=0 switch=0000:07:00.0 count=18")).link(0, 1)
    assert (link.level, link.nvlink_count) == ("NODE", 0)


# ---- the stand-in itself


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("gpus bus=0", 'the keyword "gpus" is unknown'),
        (f"{GPU} colour=green", 'gpu does not know the key "colour"'),
        ("gpu bus=0000:17:00.0", "uuid= is missing"),
        (f"{GPU} numa=one", "numa=one is not a number"),
        (f"{GPU} cpus=0-9999", "is not a list of CPUs"),
        (f"{GPU}\n{GPU}", "line 3: GPUs are described in the order of their PCI addresses"),
        ("process gpu=0 pid=1 used=1", "gpu=0: no such GPU is described above"),
        ('gpu name="H100', "a quote is not closed"),
        (GPU.replace("529MiB", "99GiB"), "reserved= is more than memory="),
        (f"{GPU} reserved=1GiB", "reserved= is given twice"),
    ],
)
def test_a_mistake_in_a_description_is_named_with_its_line(describe: Describe, line: str, mistake: str) -> None:
    path = describe(line)
    code = "import pynvml; pynvml.nvmlInit()"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment(path), capture_output=True, text=True, check=False
    )
    assert "NVMLError_Unknown" in answer.stderr
    assert f"NVML stand-in: {path}, line " in answer.stderr
    assert mistake in answer.stderr
