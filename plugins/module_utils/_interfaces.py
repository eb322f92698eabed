# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network interfaces of this host by their addresses, as the kernel tells them through ``ip``."""

from __future__ import annotations

import json

from ._errors import InferenceError
from ._systemd import RunCommand


def read_interfaces(run_command: RunCommand) -> dict[str, str]:
    """Return address -> name of the interface that has it; InferenceError where the host does not tell."""
    status, out, error = run_command(["ip", "-json", "address", "show", "up"])
    if status != 0:
        raise InferenceError(f"cannot read the network interfaces of this host: {(error or out).strip()}")
    return {
        address["local"]: interface["ifname"]
        for interface in json.loads(out)
        for address in interface.get("addr_info", ())
        if "local" in address
    }
