# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of variables that a role does not read, though they look as if it did."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Of all names: a slip of the fingers, not another word.
NEARLY_THE_SAME = 0.93


def options_of(role: str, roles: Path = ROLES) -> dict[str, dict[str, Any]]:
    """Return the specification of each variable that a role documents, of all its entry points."""
    path = roles / role / "meta" / "argument_specs.yml"
    entry_points = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
    return {name: option for entry_point in entry_points for name, option in entry_point.get("options", {}).items()}


def default_of(role: str, name: str, roles: Path = ROLES) -> Any:
    """Return the default of a variable of a role, as the file has it; KeyError where there is none."""
    return yaml.safe_load((roles / role / "defaults" / "main.yml").read_text(encoding="utf-8"))[name]


def misnamed(role: str, present: Iterable[str], results: Iterable[str] = (), roles: Path = ROLES) -> list[str]:
    """Return a sentence for each variable that is meant for ``role`` and is none of its own.

    ``present`` are the names of all variables of a host, ``results`` those that the role itself sets. A name that
    starts as the role's do is meant for it; so is one that differs from one of them by a slip.
    """
    known = options_of(role, roles)
    return list(_sentences(role, sorted({*present} - {*known} - {*results}), sorted(known), roles))


def _sentences(role: str, names: Iterable[str], known: list[str], roles: Path) -> Iterator[str]:
    others = tuple(f"{path.name}_" for path in sorted(roles.iterdir()) if path.name != role)
    for name in names:
        if name.startswith(f"{role}_"):
            rests = {option[len(role) + 1 :]: option for option in known}
            near = difflib.get_close_matches(name[len(role) + 1 :], rests, n=1)
            suggestion = f"did you mean {rests[near[0]]}?" if near else f"it has {', '.join(known)}."
            yield f"{name} is no variable of the role {role}; {suggestion} A name of your own needs another beginning."
        elif name.startswith("vllm_") and not name.startswith(others):
            near = difflib.get_close_matches(name, known, n=1, cutoff=NEARLY_THE_SAME)
            if near:
                yield f"{name} is no variable of the role {role}; did you mean {near[0]}?"
