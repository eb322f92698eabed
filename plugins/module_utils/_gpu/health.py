# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver's counters mean for a GPU's fitness to serve. No I/O.

Xid errors are not among the counters: NVML only announces them as events, so they are read from the kernel
log instead (``_xid``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .topology import Health, Topology

#: What can be done about a GPU that has failed or is degraded, and what is unless a user says otherwise.
ANSWERS = ("refuse", "warn", "ignore")
DEFAULT_ANSWERS: Mapping[str, str] = {"failed": "refuse", "degraded": "warn"}
_COMES_TO = {"refuse": "failed", "warn": "degraded", "ignore": "ok"}

#: Bits of ``nvmlDeviceGetCurrentClocksEventReasons`` that mean trouble. The power cap and application clocks
#: are left out: they are settings, and a busy healthy GPU shows them all day.
SLOWDOWNS = {
    0x08: "hardware slowdown",
    0x20: "thermal slowdown by the driver",
    0x40: "thermal slowdown by the hardware",
    0x80: "power brake by the hardware",
}


@dataclass(frozen=True)
class HealthFacts:
    """Counters and flags of one GPU, None where the driver would not tell.

    ``lost`` says why the GPU no longer answers. ``ecc_uncorrected`` counts uncorrectable memory errors since
    the driver was loaded. ``row_remap_*`` exist since Ampere, ``retired_pages_pending`` before it.
    ``refusals`` are questions that the driver answered with an error that no healthy GPU gives.
    """

    lost: str | None = None
    ecc_uncorrected: int | None = None
    row_remap_failed: bool | None = None
    row_remap_pending: bool | None = None
    retired_pages_pending: bool | None = None
    clock_event_reasons: int | None = None
    refusals: tuple[str, ...] = ()


def judge_gpu(facts: HealthFacts) -> Health:
    """Tell whether a GPU can be given work.

    Failed: lost, uncorrectable errors, or no spare rows left. Degraded: a repair waits for a reset, it is
    throttled, or it met an error that no healthy GPU gives.
    """
    failed = []
    if facts.lost:
        failed.append(facts.lost)
    if facts.ecc_uncorrected:
        failed.append(f"uncorrectable ECC errors since the driver was loaded: {facts.ecc_uncorrected}")
    if facts.row_remap_failed:
        failed.append("a row of memory could not be remapped: replace the GPU")

    degraded = list(facts.refusals)
    if facts.row_remap_pending:
        degraded.append("a row remapping waits for a GPU reset")
    if facts.retired_pages_pending:
        degraded.append("a page retirement waits for a reboot")
    active = facts.clock_event_reasons or 0
    degraded.extend(f"throttled: {meaning}" for bit, meaning in SLOWDOWNS.items() if active & bit)

    status = "failed" if failed else "degraded" if degraded else "ok"
    return Health(status, tuple(failed + degraded))


def policy_health(answers: Mapping[str, str], health: Health) -> Health:
    """Return what a GPU's health comes to: failed where it is to be refused, degraded where it earns a warning."""
    if health.status == "ok":
        return health
    return replace(health, status=_COMES_TO[answers.get(health.status, DEFAULT_ANSWERS[health.status])])


def apply_health_policy(answers: Mapping[str, str], topology: Topology) -> Topology:
    """Return the topology with the health of its GPUs as these answers have it."""
    return replace(
        topology, gpus=tuple(replace(gpu, health=policy_health(answers, gpu.health)) for gpu in topology.gpus)
    )
