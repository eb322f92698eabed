# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of this collection that a program needs on a host, computed from its imports. Pure.

Units run copies of this code without Ansible, as the package ``llmops_inference``: the guard, the relay of metrics, the
gateway's probe. A list of files kept by hand would miss the next import.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Callable

PACKAGE = "llmops_inference"


def closure(program: str, source: Callable[[str], str | None]) -> dict[str, str]:
    """Return the text of every module that the text of a ``program`` imports, by its path below the package.

    ``source`` returns the text of a module by its dotted name below module_utils (``_guard.guard``), or None where
    there is no such module.
    """
    found: dict[str, str] = {}
    pending = [name for candidates in _imports(program, ()) for name in candidates]
    while pending:
        name = pending.pop()
        path = name.replace(".", "/") + ".py"
        text = None if path in found else source(name)
        if text is not None:
            found[path] = text
            pending.extend(other for candidates in _imports(text, name.split(".")[:-1]) for other in candidates)
    return dict(sorted(found.items()))


def _imports(text: str, package: tuple[str, ...] | list[str]) -> Iterator[list[str]]:
    """Yield what each import of this package may name: the module itself, or modules of a package."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ImportFrom):
            continue
        stated = node.module.split(".") if node.module else []
        if node.level:
            module = [*package[: len(package) - node.level + 1], *stated]
        elif stated[0] == PACKAGE:
            module = stated[1:]
        else:
            continue
        within = [".".join([*module, alias.name]) for alias in node.names]
        yield [".".join(module), *within] if module else within
