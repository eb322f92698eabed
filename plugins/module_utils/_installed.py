# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role vllm_runtime has recorded of its installations on this host, as far as it still holds.

Asking an engine for its version and its flags takes as long as importing it. So they are kept in ``engine.json``, with
a digest of what they were read from: the list that the installer wrote of all files of that distribution. An engine
that was replaced in place since then has another one, or none, and its record counts for nothing.
"""

from __future__ import annotations

import grp
import hashlib
import json
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENGINE_RECORD = "engine.json"
TOOLS_RECORD = "tools.json"
SHELL = "/usr/sbin/nologin"


def engine_record(directory: Path) -> dict[str, Any] | None:
    """Return ``engine.json`` of an engine's tree; None where there is none, or it is not of what lies there now."""
    try:
        record: dict[str, Any] = json.loads((directory / ENGINE_RECORD).read_text(encoding="utf-8"))
        read_from: Mapping[str, str] = record["read_from"]
        holds = all(_digest(directory / path) == digest for path, digest in read_from.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if holds and read_from else None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tools_record(directory: Path) -> list[str]:
    """Return the requirements that the tools were installed for; [] where they are not there, or not whole."""
    try:
        record = json.loads((directory / TOOLS_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return record if isinstance(record, list) else []


def account_exists(user: str, group: str, home: str) -> bool:
    """Return whether the services' user is there as the role makes it: its group, its home, and no login."""
    try:
        entry, group_id = pwd.getpwnam(user), grp.getgrnam(group).gr_gid
    except KeyError:
        return False
    wanted = (group_id, home, SHELL)
    return (entry.pw_gid, entry.pw_dir, entry.pw_shell) == wanted and Path(home).is_dir()
