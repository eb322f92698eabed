# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what NVML says about two GPUs to the path between them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .topology import P2P_STATUSES, Link

#: ``nvmlGpuTopologyLevel_t``. Level 0, two GPUs on one board, is a PCIe switch that the board carries, hence
#: PIX.
ANCESTORS = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}


@dataclass(frozen=True)
class NvLinks:
    """The active NVLinks of one GPU: into switches, and to other ends by their PCI bus id."""

    switched: int = 0
    direct: Mapping[str, int] = field(default_factory=dict)


def nvlinks_between(a: NvLinks, a_bus: str | None, b: NvLinks, b_bus: str | None) -> int:
    """Count the NVLinks that two GPUs can use together.

    Direct ones count as both ends see them (a link that only one end calls active carries nothing). Without
    any, links into switches count: an NVSwitch fabric joins every GPU to every other at the full rate of its
    links.
    """
    direct = min(a.direct.get(b_bus or "", 0), b.direct.get(a_bus or "", 0))
    return direct or min(a.switched, b.switched)


def p2p_status(code: int | None) -> str | None:
    """Name a value of ``nvmlGpuP2PStatus_t``."""
    if code is None:
        return None
    return P2P_STATUSES[code] if 0 <= code < len(P2P_STATUSES) else "unknown"


def link_between(
    ends: tuple[int, int], ancestor: int | None, nvlinks: int, p2p_read: int | None, p2p_nvlink: int | None
) -> Link:
    """Join the answers about one pair.

    NVLinks that are up and that the driver nevertheless refuses for peer access (``p2p_nvlink`` is the
    question that the engine itself asks before it trusts NVLink) are counted, but do not make the path an
    NVLink path.
    """
    refused = p2p_status(p2p_nvlink) not in (None, "ok", "unknown")
    level = "NVLINK" if nvlinks and not refused else None if ancestor is None else ANCESTORS.get(ancestor)
    return Link(ends[0], ends[1], level, nvlinks, p2p_status(p2p_read))
