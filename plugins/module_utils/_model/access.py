# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the services' user can read what root has put in place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .._errors import InferenceError


def refuse_unreadable(directory: str, user: str, uid: int, gid: int) -> None:
    """Raise InferenceError naming the first file of a model directory that ``user`` cannot read.

    An engine finds that out only after half a minute of imports. Must run as root.
    """
    base = Path(directory)
    with _identity(uid, gid):
        for path in (base, *sorted(base.glob("*"))):
            wanted = os.R_OK | os.X_OK if path == base else os.R_OK
            if not os.access(path, wanted, effective_ids=True):
                raise InferenceError(
                    f"{path} cannot be read by the user '{user}', as whom the engine runs; give it the right to "
                    f"(chmod a+rX), and search permission on every directory above it"
                )


@contextlib.contextmanager
def _identity(uid: int, gid: int) -> Iterator[None]:
    """Act as a user, whose only group is ``gid``, for a block."""
    before = os.geteuid(), os.getegid(), os.getgroups()
    os.setgroups([gid])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before[0])
        os.setegid(before[1])
        os.setgroups(before[2])
