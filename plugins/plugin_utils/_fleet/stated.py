# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in the variables of hosts, found before any host is contacted. Pure.

Ansible checks a role's variables too, but with a dump of the whole specification, and without the name of a service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.common.validation import (
    check_type_bool,
    check_type_dict,
    check_type_float,
    check_type_int,
    check_type_list,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import ACCELERATORS
from ansible_collections.llmops.inference.plugins.module_utils._values import shown
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.layout import host_settings
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.several_hosts import part_of
from ansible_collections.llmops.inference.plugins.plugin_utils._role_variables import options_of

ROLE = "vllm_services"
_MAPPINGS_OF_MAPPINGS = ("vllm_services_changes", "vllm_services_profiles")
_TYPES = {
    "bool": (check_type_bool, "true or false"),
    "dict": (check_type_dict, "a mapping of names to values"),
    "float": (check_type_float, "a number, such as 0.99"),
    "int": (check_type_int, "a whole number"),
    "list": (check_type_list, "a list, each item after a dash"),
}


def stated_problems(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each mistake in the variables of ``hosts`` that start with ``vllm_services_``.

    A sentence that holds for several hosts begins with all their names.
    """
    found: dict[str, list[str]] = {}
    for host in hosts:
        for problem in _problems(host, variables):
            found.setdefault(problem, []).append(host)
    return [f"{_few(names)}: {problem}" for problem, names in found.items()]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more hosts" if len(names) > 3 else "")


def _problems(host: str, variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    stated = variables[host]
    wrong = list(_wrong_types(stated))
    if wrong:
        return wrong
    accelerator = str(stated.get("vllm_services_accelerator") or stated.get("vllm_runtime_accelerator") or "cuda")
    if accelerator not in ACCELERATORS:
        return [f"vllm_services_accelerator is {shown(accelerator)}; choose one of {', '.join(ACCELERATORS)}."]
    try:
        layout = host_settings(stated)["layout"]
        parse_layout(part_of(layout, host, variables), accelerator)
    except InferenceError as error:
        errors = error.details.get("errors")
        return [str(text) for text in errors] if isinstance(errors, list) else [str(error)]
    return []


def _seen(value: Any) -> str:
    """Return a value as a sentence shows it; of a list or a mapping only the kind, for a secret may be inside."""
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else shown(value)


def _wrong_items(name: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    """Yield the items of a list, or of a mapping by service or profile, that are no mappings."""
    items: Iterable[tuple[Any, Any]] = ()
    if option.get("elements") == "dict":
        items = enumerate(value)
    elif name in _MAPPINGS_OF_MAPPINGS:
        items = value.items()
    for place, item in items:
        if not isinstance(item, Mapping):
            yield f"{name}[{shown(place)}] is {_seen(item)}; it must be a mapping of names to values."


def _wrong_types(stated: Mapping[str, Any]) -> Iterator[str]:
    for name, option in sorted(options_of(ROLE).items()):
        value = stated.get(name)
        if value is None:
            continue
        kind = str(option.get("type", "str"))
        # A text is a list or a mapping to Ansible; to people it is a mistake.
        is_text = isinstance(value, str) and kind in ("list", "dict")
        if kind in _TYPES:
            check, expected = _TYPES[kind]
            try:
                check(value)
            except (TypeError, ValueError):
                is_text = True
            if is_text:
                yield f"{name} is {_seen(value)}; it must be {expected}."
                continue
            yield from _wrong_items(name, value, option)
        choices = option.get("choices")
        if choices and kind == "str" and value not in choices:
            yield f"{name} is {shown(value)}; choose one of {', '.join(map(str, choices))}."
