# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of the cards that people own. Data only.

Two totals per card, in MiB. ``nvml_mib`` is what ``nvidia-smi`` shows. ``cuda_mib`` is what CUDA hands out: the driver
and the firmware keep the rest, and the engine's share is a fraction of this total. Both move by some MiB with the
driver and with ECC; of several published values the lowest stands here.

Sources of ``nvml_mib``: ``measured`` is a topology recorded by this project (tests/gpu/topologies), ``published`` the
output of ``nvidia-smi`` that owners published. Sources of ``cuda_mib``: ``published`` is the "total capacity" of
PyTorch's out-of-memory message or ``torch.cuda.get_device_properties``, ``estimated`` the reserve of a sibling card.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.llmops.inference.plugins.module_utils._values import MIB


@dataclass(frozen=True)
class Card:
    """One kind of card.

    ``label`` is the name people say, unique here; ``name`` is NVML's. ``nvlinks`` counts the NVLinks of a pair.
    ``switched`` cards have them always; others need a bridge. ``peer_access``: the driver lets two of these cards read
    each other's memory over PCIe. ``host_bytes`` is the memory that the host's own programs hold of a unified memory;
    None where the card has its own.
    """

    label: str
    name: str
    nvml_mib: int
    cuda_mib: int
    compute_capability: str | None = None
    pcie_generation: int | None = None
    nvlinks: int = 0
    switched: bool = False
    peer_access: bool = True
    aliases: tuple[str, ...] = ()
    nvml_source: str = "published"
    cuda_source: str = "published"
    host_bytes: int | None = None

    @property
    def total_bytes(self) -> int:
        """Bytes that NVML reports."""
        return self.nvml_mib * MIB

    @property
    def reserved_bytes(self) -> int:
        """Bytes that driver and firmware keep from CUDA."""
        return (self.nvml_mib - self.cuda_mib) * MIB


def _geforce(label: str, nvml_mib: int, cuda_mib: int, cuda_source: str = "published", nvlinks: int = 0) -> Card:
    """Return a GeForce card; the driver gives GeForce cards no access to each other over PCIe."""
    series = label.split()[1][:2]
    capability, pcie = {"20": ("7.5", 3), "30": ("8.6", 4), "40": ("8.9", 4), "50": ("12.0", 5)}[series]
    words = [word for word in label.split() if not word.endswith("GB")]
    name = f"NVIDIA GeForce {' '.join(words)}"
    return Card(label, name, nvml_mib, cuda_mib, capability, pcie, nvlinks, peer_access=False, cuda_source=cuda_source)


CARDS: tuple[Card, ...] = (
    _geforce("RTX 2080 Ti", 11264, 11008, nvlinks=2),
    _geforce("RTX 3060", 12288, 11837),
    _geforce("RTX 3060 Ti", 8192, 7844, "estimated"),
    _geforce("RTX 3070", 8192, 7844),
    _geforce("RTX 3070 Ti", 8192, 7844, "estimated"),
    _geforce("RTX 3080", 10240, 9850),
    _geforce("RTX 3080 Ti", 12288, 11837, "estimated"),
    _geforce("RTX 3090", 24576, 24125, nvlinks=4),
    _geforce("RTX 3090 Ti", 24564, 24074, "estimated", nvlinks=4),
    _geforce("RTX 4060", 8188, 7813),
    _geforce("RTX 4060 Ti 8GB", 8188, 7813, "estimated"),
    _geforce("RTX 4060 Ti 16GB", 16380, 15933, "estimated"),
    _geforce("RTX 4070", 12282, 11776, "estimated"),
    _geforce("RTX 4070 SUPER", 12282, 11776, "estimated"),
    _geforce("RTX 4070 Ti", 12282, 11776, "estimated"),
    _geforce("RTX 4070 Ti SUPER", 16376, 15934),
    _geforce("RTX 4080", 16376, 15933, "estimated"),
    _geforce("RTX 4080 SUPER", 16376, 15933, "estimated"),
    _geforce("RTX 4090", 24564, 24074),
    _geforce("RTX 5060", 8151, 7680, "estimated"),
    _geforce("RTX 5060 Ti 8GB", 8151, 7680, "estimated"),
    _geforce("RTX 5060 Ti 16GB", 16311, 15821, "estimated"),
    _geforce("RTX 5070", 12227, 11755, "estimated"),
    _geforce("RTX 5070 Ti", 16303, 15821, "estimated"),
    _geforce("RTX 5080", 16303, 15821),
    _geforce("RTX 5090", 32607, 32092),
    Card("RTX A2000 6GB", "NVIDIA RTX A2000", 6138, 5734, "8.6", 4, cuda_source="estimated"),
    Card("RTX A2000 12GB", "NVIDIA RTX A2000 12GB", 12282, 11776, "8.6", 4, cuda_source="estimated"),
    Card("RTX A4000", "NVIDIA RTX A4000", 16376, 15933, "8.6", 4),
    Card("RTX A4500", "NVIDIA RTX A4500", 20470, 20039, "8.6", 4, nvlinks=4),
    Card("RTX A5000", "NVIDIA RTX A5000", 24564, 24114, "8.6", 4, nvlinks=4),
    Card("RTX A6000", "NVIDIA RTX A6000", 49140, 48538, "8.6", 4, nvlinks=4),
    Card("RTX 2000 Ada", "NVIDIA RTX 2000 Ada Generation", 16380, 15933, "8.9", 4, cuda_source="estimated"),
    Card("RTX 4000 SFF Ada", "NVIDIA RTX 4000 SFF Ada Generation", 20475, 19968, "8.9", 4, cuda_source="estimated"),
    Card("RTX 4500 Ada", "NVIDIA RTX 4500 Ada Generation", 24570, 24074, "8.9", 4, cuda_source="estimated"),
    Card("RTX 5000 Ada", "NVIDIA RTX 5000 Ada Generation", 32760, 32092, "8.9", 4, cuda_source="estimated"),
    Card("RTX 6000 Ada", "NVIDIA RTX 6000 Ada Generation", 49140, 48538, "8.9", 4, aliases=("6000 ada",)),
    Card(
        "RTX PRO 6000 Blackwell",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        97887,
        97239,
        "12.0",
        5,
        aliases=("rtx pro 6000", "pro 6000", "rtx pro 6000 blackwell server edition"),
    ),
    Card("T4", "Tesla T4", 15360, 14899, "7.5", 3),
    Card("V100 16GB", "Tesla V100-SXM2-16GB", 16384, 16148, "7.0", 3, nvlinks=2),
    Card("V100 32GB", "Tesla V100-SXM2-32GB", 32768, 32491, "7.0", 3, nvlinks=2),
    Card("A10", "NVIDIA A10", 23028, 22558, "8.6", 4),
    Card("A10G", "NVIDIA A10G", 23028, 22558, "8.6", 4),
    Card("A30", "NVIDIA A30", 24576, 24064, "8.0", 4, nvlinks=4, cuda_source="estimated"),
    Card("A40", "NVIDIA A40", 46068, 45404, "8.6", 4, nvlinks=4),
    Card("L4", "NVIDIA L4", 23034, 22558, "8.9", 4),
    Card("L40", "NVIDIA L40", 46068, 45404, "8.9", 4, cuda_source="estimated"),
    Card("L40S", "NVIDIA L40S", 46068, 45404, "8.9", 4),
    Card("A100 40GB", "NVIDIA A100-SXM4-40GB", 40960, 40325, "8.0", 4, nvlinks=12, switched=True),
    Card(
        "A100 80GB PCIe",
        "NVIDIA A100 80GB PCIe",
        81920,
        81049,
        "8.0",
        4,
        nvlinks=12,
        aliases=("a100 pcie",),
        cuda_source="estimated",
    ),
    Card(
        "A100 80GB",
        "NVIDIA A100-SXM4-80GB",
        81920,
        81049,
        "8.0",
        4,
        nvlinks=12,
        switched=True,
        cuda_source="estimated",
    ),
    Card("H100 PCIe", "NVIDIA H100 PCIe", 81559, 81009, "9.0", 5, nvlinks=12, cuda_source="estimated"),
    Card(
        "H100",
        "NVIDIA H100 80GB HBM3",
        81559,
        81079,
        "9.0",
        5,
        nvlinks=18,
        switched=True,
        aliases=("h100 sxm", "h100 80gb", "h100 sxm5"),
        nvml_source="measured",
        cuda_source="measured",
    ),
    Card("H100 NVL", "NVIDIA H100 NVL", 95830, 95232, "9.0", 5, nvlinks=12),
    Card("H20", "NVIDIA H20", 97871, 97285, "9.0", 5, nvlinks=18, switched=True),
    Card("H200", "NVIDIA H200", 143771, 143073, "9.0", 5, nvlinks=18, switched=True, aliases=("h200 sxm",)),
    Card("H200 NVL", "NVIDIA H200 NVL", 143771, 143073, "9.0", 5, nvlinks=18, cuda_source="estimated"),
    Card("GH200", "NVIDIA GH200 480GB", 97871, 96768, "9.0", 5, aliases=("gh200 96gb",), cuda_source="estimated"),
    Card("B200", "NVIDIA B200", 183359, 182630, "10.0", 5, nvlinks=18, switched=True),
    Card("GB200", "NVIDIA GB200", 189471, 188671, "10.0", 5, nvlinks=18, switched=True, cuda_source="estimated"),
    Card("B300", "NVIDIA B300 SXM6 AC", 275040, 274240, "10.3", 5, nvlinks=18, switched=True, cuda_source="estimated"),
    # NVML tells no memory of a GB10: both totals are of the host's memory, which the card shares with its programs.
    Card(
        "DGX Spark",
        "NVIDIA GB10",
        124610,
        122480,
        "12.1",
        aliases=("gb10", "spark"),
        host_bytes=8400 * MIB,
    ),
)
