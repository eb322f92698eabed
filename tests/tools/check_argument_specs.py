# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds each role's defaults, argument specification and README to the same variables.

Without arguments it checks the roles of this checkout.  Prints every difference and fails when there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"


def load(path: Path) -> dict[str, Any]:
    """Return what a YAML file holds; nothing where there is no file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    return content or {}


def differences(role: Path) -> Iterator[str]:
    """Yield, in a sentence each, what keeps a role's three accounts of its variables apart."""
    defaults = load(role / "defaults" / "main.yml")
    specification = load(role / "meta" / "argument_specs.yml").get("argument_specs", {})
    readme = role / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    options = specification.get("main", {}).get("options", {})

    if not specification:
        yield "has no meta/argument_specs.yml"
    if not any("misnamed_variables" in path.read_text(encoding="utf-8") for path in (role / "vars").glob("*.yml")):
        yield "takes a misspelt variable for none: look for the lookup misnamed_variables in another role's vars"
    for name in sorted(defaults.keys() - options.keys()):
        yield f"{name} has a default, and meta/argument_specs.yml does not know it"
    for name, option in sorted(options.items()):
        if not name.startswith(role.name + "_"):
            yield f"{name} does not start with the role's name"
        if f"`{name}`" not in text:
            yield f"{name} is not in README.md"
        yield from different_defaults(name, option, defaults)
        yield from undescribed(name, option)


def different_defaults(name: str, option: dict[str, Any], defaults: dict[str, Any]) -> Iterator[str]:
    """Yield how the default of one variable differs from the one its description states."""
    if option.get("required", False):
        if name in defaults:
            yield f"{name} is required, and has a default"
    elif name not in defaults:
        yield f"{name} is in meta/argument_specs.yml, and not in defaults/main.yml"
    elif "{{" in str(defaults[name]):
        if "default" in option:
            yield f"{name} is computed in defaults/main.yml; say in words how, instead of a default"
    elif option.get("default") != defaults[name]:
        yield f"{name} is {defaults[name]!r} in defaults/main.yml, and {option.get('default')!r} in its description"


def undescribed(name: str, option: dict[str, Any]) -> Iterator[str]:
    """Yield which options, and options of options, say nothing of themselves."""
    if not option.get("description"):
        yield f"{name} has no description"
    for key, child in sorted(option.get("options", {}).items()):
        yield from undescribed(f"{name}[].{key}", child)


def main() -> int:
    """Return the exit status."""
    roles = sorted(path for path in ROLES.iterdir() if (path / "tasks").is_dir())
    found = [f"roles/{role.name}: {difference}" for role in roles for difference in differences(role)]
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(roles)} roles, {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
