# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Xid errors: what the NVIDIA driver writes of its GPUs into the kernel log, and what it means for their fitness. Pure.

NVML announces them as events only, to those who already wait, so that the log is the one place that remembers.
The classes follow the immediate actions of NVIDIA's Xid catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .topology import Gpu, Health, Topology

#: Nothing runs reliably on the GPU until it was reset or the host rebooted.
FAILED = frozenset({46, 48, 62, 64, 79, 95, 110, 119, 120, 140, 143})
#: The GPU computes on: a repair waits for a reset, a link or memory makes errors that were corrected or contained.
DEGRADED = frozenset({63, 74, 92, 94, 109})
#: The driver says which action it waits for, and that it no longer waits.
RECOVERY = 154

#: What of the kernel log this module reads, as journalctl's --grep takes it.
PATTERN = "NVRM: (Xid|loading NVIDIA)"

_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d+)(?:, pid='?(\d+)'?)?")
_LOADED = "NVRM: loading NVIDIA"
_SETTLED = re.compile(r"recovery action changed .* to 0x[0-9a-f]+ \(None\)")


@dataclass(frozen=True)
class Xid:
    """One error: ``pci`` is the GPU's address (``0000:3b:00``), ``pid`` the process at work, None where unknown."""

    pci: str
    code: int
    pid: int | None
    text: str


def parse_xid(text: str) -> Xid | None:
    """Return the error that a line of the kernel log reports; None for any other line."""
    found = _XID.search(text)
    if not found:
        return None
    pid = found.group(3)
    return Xid(pci_address(found.group(1)), int(found.group(2)), int(pid) if pid else None, text.strip())


def pci_address(text: str) -> str:
    """Return an address as ``domain:bus:device``, in the kernel's spelling and without a function."""
    domain, _separator, rest = text.partition(".")[0].lower().partition(":")
    return f"{domain[-4:].rjust(4, '0')}:{rest}" if rest.count(":") else f"0000:{domain}:{rest}"


def outstanding(lines: Iterable[str]) -> dict[str, list[Xid]]:
    """Return, by PCI address, the errors that neither a new load of the driver nor a recovery has settled.

    ``lines`` are the kernel log since boot, oldest first.
    """
    found: dict[str, list[Xid]] = {}
    for line in lines:
        xid = parse_xid(line)
        if _LOADED in line:
            found.clear()
        elif xid is not None and xid.code == RECOVERY and _SETTLED.search(line):
            found.pop(xid.pci, None)
        elif xid is not None and (xid.code in FAILED | DEGRADED or xid.code == RECOVERY):
            found.setdefault(xid.pci, []).append(xid)
    return found


def with_xids(topology: Topology, lines: Iterable[str]) -> Topology:
    """Return the topology, the health of its GPUs lowered by the Xid errors in the kernel log since boot."""
    found = outstanding(lines)
    return replace(topology, gpus=tuple(_with_xids(gpu, found.get(_address(gpu), ())) for gpu in topology.gpus))


def _with_xids(gpu: Gpu, xids: Iterable[Xid]) -> Gpu:
    latest = {xid.code: xid for xid in xids}
    if not latest:
        return gpu
    failed = gpu.health.status == "failed" or any(code not in DEGRADED for code in latest)
    reasons = tuple(f"Xid {code} since boot ({xid.text})" for code, xid in latest.items())
    return replace(gpu, health=Health("failed" if failed else "degraded", gpu.health.reasons + reasons))


def _address(gpu: Gpu) -> str:
    return pci_address(gpu.pci_bus_id) if gpu.pci_bus_id else ""
