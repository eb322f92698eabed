# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a release ended that was not successful, from what its jobs published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._report.objectives import MISSED, PASSED

UNDONE, NOT_ALL_UNDONE, STAYS = "undone", "not undone everywhere", "stays, and could not be judged"


def release_end(published: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``outcome``, the ``reason`` in words, and the hosts that were returned, as ``undone``.

    ``published`` may have ``undone``, ``generations``, ``failures`` and ``validation``, each a mapping by host. A
    release without ``undone`` was not undone.
    """
    validation, failures = _by_host(published, "validation"), _by_host(published, "failures")
    if published.get("undone") is None:
        return {"outcome": STAYS, "reason": _sentences(_not_judged(validation)), "undone": []}
    undone, generations = _by_host(published, "undone"), _by_host(published, "generations")
    left = list(_not_returned(undone, generations))
    return {
        "outcome": NOT_ALL_UNDONE if left else UNDONE,
        "reason": _sentences([*_causes(validation, failures), *left]),
        "undone": sorted(undone),
    }


def _by_host(published: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = published.get(name)
    return dict(value) if isinstance(value, Mapping) else {}


def _not_judged(validation: Mapping[str, Any]) -> Iterator[str]:
    found = False
    for host, verdict in sorted(validation.items()):
        if verdict.get("outcome") != PASSED:
            found = True
            yield f"{host}: {verdict.get('outcome')}: {verdict.get('reason') or 'without a reason'}"
    if not found:
        yield "the validation ended without a verdict; its job says why"


def _causes(validation: Mapping[str, Any], failures: Mapping[str, Any]) -> Iterator[str]:
    missed = {host: verdict for host, verdict in validation.items() if verdict.get("outcome") == MISSED}
    for host, verdict in sorted(missed.items()):
        yield f"{host} misses its objectives: {verdict.get('reason') or 'without a reason'}"
    for host, why in sorted(failures.items()):
        yield f"the deployment failed on {host}, which went back by itself: {why}"
    if not missed and not failures:
        yield "the deployment failed before it changed a service; its job says why"


def _not_returned(undone: Mapping[str, Any], generations: Mapping[str, Any]) -> Iterator[str]:
    for host, made in sorted(generations.items()):
        before, active = made.get("before"), made.get("in_force")
        if host in undone or before == active:
            continue
        if before is None:
            yield f"{host} serves generation {active}, as there was none before"
        else:
            yield f"{host} was not returned to generation {before}, and may serve generation {active}"


def _sentences(texts: Any) -> str:
    return " ".join(text.strip().rstrip(".") + "." for text in texts)
