# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that runs on several hosts: which ranks are on which of them, and which part of the model each has. Pure.

The engine numbers ranks stage by stage, the tensor-parallel ranks of a pipeline stage next to each other, and gives
each node the same number of them, in the order of the nodes (``vllm/v1/executor/multiproc_executor.py``,
``distributed/parallel_state.py``). Layers are divided over the stages as evenly as they go
(``distributed/utils.py``, ``get_pp_indices``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from .._values import Fields, Problems, shown

EXECUTORS = ("mp", "ray")
MASTER_PORTS = range(1024, 65535)  # the port after it is the group's own
NODES = range(2, 65)


@dataclass(frozen=True)
class MultiNode:
    """The place of one host in a group of them: its rank among the nodes, and everybody's address.

    ``addresses`` are those of the interconnect, by node rank; the first is the leader's, whose engine answers
    requests. ``master_port`` is where the ranks meet, on the leader.
    """

    node_rank: int
    addresses: tuple[str, ...]
    master_port: int
    executor: str = "mp"

    @property
    def nodes(self) -> int:
        """Return how many hosts the service is on."""
        return len(self.addresses)

    @property
    def leads(self) -> bool:
        """Whether this host's engine is the one that answers requests."""
        return self.node_rank == 0

    @property
    def address(self) -> str:
        """This host's own."""
        return self.addresses[self.node_rank]

    @property
    def leader(self) -> str:
        """The address where the ranks meet."""
        return self.addresses[0]

    @property
    def group_port(self) -> int:
        """Where each host tells the others how its part of the service is."""
        return self.master_port + 1


def parse_multi_node(value: Any, problems: Problems) -> MultiNode | None:
    """Return what the layout says of a service's hosts; None where it is on one."""
    if value is None or value == {}:
        return None
    keys = set(MultiNode.__dataclass_fields__)
    if not isinstance(value, Mapping) or not set(value) <= keys:
        problems.add(f"multi_node takes {', '.join(sorted(keys))}, not {shown(value)}.")
        return None
    fields = Fields(value, problems)
    addresses = value.get("addresses")
    if not isinstance(addresses, (list, tuple)) or len(addresses) not in NODES:
        problems.add(
            f"multi_node.addresses must be a list of {NODES[0]} to {NODES[-1]} addresses, not {shown(addresses)}."
        )
        return None
    for address in addresses:
        if not _is_reachable(address):
            problems.add(f"multi_node.addresses: {shown(address)} is no IP address that another host reaches.")
    if len(set(addresses)) < len(addresses):
        problems.add("multi_node.addresses names a host twice; a node is one host.")
    executor = fields.text("executor", "mp")
    if executor not in EXECUTORS:
        problems.add(f"multi_node.executor {shown(executor)} is none of {', '.join(EXECUTORS)}.")
    return MultiNode(
        node_rank=fields.integer("node_rank", 0, 0, len(addresses) - 1),
        addresses=tuple(str(address) for address in addresses),
        master_port=fields.integer("master_port", 29501, MASTER_PORTS[0], MASTER_PORTS[-1]),
        executor=executor,
    )


def _is_reachable(address: Any) -> bool:
    try:
        parsed = ip_address(str(address))
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast)
