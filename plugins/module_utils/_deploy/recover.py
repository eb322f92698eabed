# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""At boot, before any engine: the rollback from a transaction that the host did not survive.

It runs as root in ``vllm-recover.service``, out of the copy of this code that lies in the generation.
"""

from __future__ import annotations

import grp
import sys
from collections.abc import Sequence
from pathlib import Path

from .._errors import InferenceError
from .._generation.store import GenerationStore
from .._generation.transaction import TransactionRecord
from .._generation.unit_links import UnitLinks
from .._host.lock import locked
from .._host.systemd import Systemd, run_command
from .._places import Paths
from .deployment import Deployment


def main(generation: Path, arguments: Sequence[str]) -> int:
    """Roll back on the host with ``CONFIG_ROOT UNIT_DIRECTORY GROUP``; called by the unit, out of a ``generation``."""
    config_root, unit_directory, group = arguments
    paths = Paths(config_root=config_root, unit_directory=unit_directory)
    try:
        store = GenerationStore(config_root, grp.getgrnam(group).gr_gid)
        record = TransactionRecord(paths.transaction)
        with locked("vllm-recover.service"):
            # Nothing is waited for: the services start after this unit, and each passes its own gate.
            deployment = Deployment(store, record, Systemd(run_command), UnitLinks(paths), 0, report=_say)
            deployment.recover(wait=False)
    except (InferenceError, OSError, KeyError) as error:
        sys.stderr.write(f"vllm-recover: {error}\n")
        return 1
    return 0


def _say(service: str, text: str) -> None:
    sys.stdout.write(f"vllm-recover: {service}: {text}\n")
    sys.stdout.flush()
