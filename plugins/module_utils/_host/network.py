# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of this host: addresses of its interfaces, and ports and sockets that are free."""

from __future__ import annotations

import json
import os
import socket

from .._errors import InferenceError
from .systemd import RunCommand


def listen_problem(host: str, port: int | None) -> str | None:
    """Return why nobody can listen on ``host:port`` now, with the way out; None where somebody can, or for no port."""
    if port is None:
        return None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the engine does: a connection of the service before, still closing, is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return (
                f"cannot listen on {host}:{port} ({error.strerror}); stop the process that holds the port, or give "
                "the service another one"
            )
    return None


def clear_socket(path: str) -> str | None:
    """Remove a unix socket that nobody listens on; return why it cannot be had, None where it can."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return None
        except OSError:  # refused: its maker is gone
            os.unlink(path)
            return None
    return f"cannot listen on {path}: another process does; stop it"


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
