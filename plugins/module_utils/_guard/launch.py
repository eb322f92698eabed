# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container runs before the engine: it takes the service's environment out of files, and becomes the engine.

An environment that podman is told of, it keeps: in its database, and in the container's configuration on the disk. A
secret may be in neither. So podman is told of no variable: the service's files are mounted, and the one with its
secrets, which the engine's user may not read, is handed over open, the way systemd hands over sockets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import _environment_file

# The first file that systemd hands over (sd_listen_fds(3)).
_FIRST_DESCRIPTOR = 3


def main(generation: Path, arguments: Sequence[str]) -> int:
    """Become ``COMMAND...`` for the service ``NAME`` of a ``generation``; return 1 where the engine must not start."""
    service, *command = arguments
    files = generation / "services" / service
    secrets = _handed_over()
    if secrets is None and (files / "secrets").exists():
        # An engine without its key would answer anybody.
        sys.stderr.write("vllm-launch: the secrets were not handed over; OpenFile= takes systemd 253 or newer\n")
        return 1
    os.environ.update({**_environment_file.from_text((files / "environment").read_text()), **(secrets or {})})
    os.execvp(command[0], command)


def _handed_over() -> dict[str, str] | None:
    """The variables of the file with secrets, which is closed then; None where there is no such file."""
    files = int(os.environ.pop("LISTEN_FDS", "0"))
    for name in ("LISTEN_PID", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    found: dict[str, str] = {}
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + files):
        with open(descriptor, encoding="utf-8") as file:
            found.update(_environment_file.from_text(file.read()))
    return found if files else None
