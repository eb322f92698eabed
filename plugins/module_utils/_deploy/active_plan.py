# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployed plan, and whether it stays: what a deployment keeps, a plan shows."""

from __future__ import annotations

import json

from .._errors import InferenceError
from .._generation.store import GenerationStore
from .._generation.transaction import TransactionRecord
from .._places import PLAN_FILE, Paths
from .._plan.plan import Plan


def plan_that_stays(store: GenerationStore, record: TransactionRecord, digest: str) -> Plan | None:
    """Return the deployed plan, if it was made from the same statements of user and hardware; None otherwise.

    ``digest`` is the one of the inputs now. The memory of other processes fluctuates; a plan that serves is not thrown
    away, and its services are not restarted, for a neighbour that took a little memory meanwhile.
    """
    base = record.base(store)
    if base is None or PLAN_FILE in store.damage(base):
        return None
    try:
        found = Plan.from_dict(json.loads((store.path(base) / PLAN_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, InferenceError):
        return None  # another version of the collection wrote it
    return found if found.inputs_digest == digest else None


def plan_of_this_host(digest: str, paths: Paths | None = None) -> Plan | None:
    """Return :func:`plan_that_stays`; None also for users who may not read it, and where nothing is deployed."""
    places = paths or Paths()
    try:
        # A generation belongs to the services' group, whatever its name is.
        ours = GenerationStore(places.config_root, 0)
        base = TransactionRecord(places.transaction).base(ours)
        if base is None:
            return None
        store = GenerationStore(places.config_root, ours.path(base).stat().st_gid)
        return plan_that_stays(store, TransactionRecord(places.transaction), digest)
    except (OSError, InferenceError):
        return None
