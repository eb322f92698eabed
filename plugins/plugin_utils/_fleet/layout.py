# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of a host, as variables, a profile and a trial state it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

# Variables of the role vllm_services, without its prefix, that a profile or a trial may state instead.
SETTINGS = ("layout", "changes", "gpu_memory_budget", "on_overcommit", "engine_version", "image")
DEFAULT_PROFILE = "after"


def host_settings(variables: Mapping[str, Any], trial: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what the role vllm_services deploys with these variables, by the names of SETTINGS.

    The chosen profile overrides the variables, and a ``trial`` overrides the profile. ``changes`` of profile and trial
    are applied to the ``layout``. Raises InferenceError where they name a service that the layout does not have.
    """
    trial = trial or {}
    profiles = variables.get("vllm_services_profiles") or {}
    chosen = trial.get("profile", variables.get("vllm_services_profile", DEFAULT_PROFILE))
    stated = {name: variables.get(f"vllm_services_{name}") for name in SETTINGS} | (profiles.get(chosen) or {})
    layout = changed_layout(trial.get("layout", stated["layout"]) or [], stated["changes"] or {})
    return {**stated, **trial, "layout": changed_layout(layout, trial.get("changes") or {})}


def layout_of(variables: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the layout that the role vllm_services deploys with these variables."""
    layout: Sequence[Mapping[str, Any]] = host_settings(variables)["layout"]
    return layout


def changed_layout(
    layout: Sequence[Mapping[str, Any]], changes: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the layout with these keys by name of the service; InferenceError for a name that none has."""
    known = [str(service.get("name")) for service in layout]
    strange = sorted(set(changes) - set(known))
    if strange:
        raise InferenceError(
            f"No service of the layout is called {', '.join(strange)}; it has {', '.join(known) or 'none'}."
        )
    return [{**service, **(changes.get(str(service.get("name"))) or {})} for service in layout]


def leads(service: Mapping[str, Any], host: str) -> bool:
    """Whether a service of a host's layout answers requests there: one on several hosts does on the first."""
    hosts = service.get("hosts")
    return not isinstance(hosts, (list, tuple)) or list(hosts[:1]) == [host]
