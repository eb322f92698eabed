# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two rules of docs/architecture.md, and one meaning per name, read off the imports and definitions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
MODULE_UTILS = PLUGINS / "module_utils"
IO = {"os", "pathlib", "socket", "http", "subprocess", "shutil", "fcntl", "grp", "pwd"}
# In the order in which they may import one another, each with the modules that others may import: its doors.
DOORS = {
    "_gpu": {"topology", "nvml", "health", "numa", "other_processes", "xid"},
    "_model": {"model", "geometry", "attention", "pattern", "stages", "checkpoint", "access"},
    "_engine": {"api", "endpoint", "installed", "metrics", "finished_requests", "progress", "startup_log"},
    "_service": {"ticket", "group", "watchdog"},
    "_plan": {"planner", "plan", "approval", "layout", "multi_node", "devices", "shares", "engine_versions"},
    "_generation": {"store", "files", "transaction", "unit_links", "needs", "active", "serving"},
    "_render": {"generation", "engine_config", "mounts", "quadlet"},
    "_host": {"systemd", "podman", "network", "lock", "job"},
    "_incidents": {"history", "journal", "cause", "signatures", "episodes", "counts"},
    "_calibration": {"gauge", "store"},
    "_guard": {"guard", "launch"},
    "_deploy": {"host"},
    "_benchmark": {"measurement", "result"},
    "_monitoring": {"relay"},
    "_gateway": {"probe"},
    "_bundle": {"parts"},
}
ORDER = list(DOORS)


def imports(path: Path, root: Path) -> Iterator[str]:
    """Yield what a file imports: ``_package/module`` of ours, or the first part of another name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            files = [base.with_suffix(".py"), *(base / f"{alias.name}.py" for alias in node.names)]
            yield from (str(file.relative_to(root).with_suffix("")) for file in files if file.is_file())


def reached(package: str, root: Path) -> dict[str, list[str]]:
    """Return every file that a package reaches, with the way there."""
    ways = {f"{package}/{path.stem}": [path.stem] for path in (root / package).glob("*.py")}
    pending = list(ways)
    while pending:
        name = pending.pop()
        for found in imports(root / f"{name}.py", root):
            if (root / f"{found}.py").is_file() and found not in ways:
                ways[found] = [*ways[name], found]
                pending.append(found)
    return ways


def impure(package: str, root: Path) -> list[str]:
    """Return what a package reaches and must not, each as ``way: modules``."""
    return [
        f"{' -> '.join(way)}: {', '.join(sorted(found))}"
        for name, way in reached(package, root).items()
        if (found := IO & set(imports(root / f"{name}.py", root)))
    ]


def trespasses(root: Path) -> list[str]:
    """Return every import between packages that runs backwards, or enters by what is no door."""
    problems = []
    for path in sorted(root.glob("_*/*.py")):
        package = path.parent.name
        for found in imports(path, root):
            other, _slash, module = found.partition("/")
            if not module or other == package:
                continue
            where = f"{package}/{path.name} imports {found}"
            if ORDER.index(other) > ORDER.index(package):
                problems.append(f"{where}: {other} comes after {package}")
            if module not in DOORS[other]:
                problems.append(f"{where}: no door of {other}")
    return problems


def test_the_planner_reaches_nothing_that_does_input_or_output() -> None:
    assert impure("_plan", MODULE_UTILS) == []


def test_packages_import_earlier_ones_by_their_doors() -> None:
    assert trespasses(MODULE_UTILS) == []


def test_every_package_and_every_door_is_there() -> None:
    assert {path.name for path in MODULE_UTILS.glob("_[a-z]*") if path.is_dir()} == set(DOORS)
    assert [door for name in DOORS for door in DOORS[name] if not (MODULE_UTILS / name / f"{door}.py").is_file()] == []


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A house of two packages, in which every rule is broken once."""
    files = {
        "_plan/planner.py": "from .way import far",
        "_plan/way.py": "from .._service.ticket import Ticket\nfrom .._render.secret import x",
        "_service/ticket.py": "from .._values import shown",
        "_values.py": "import json\ndef late():\n    import socket",
        "_render/secret.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_planted_imports_are_found(planted: Path) -> None:
    assert impure("_plan", planted) == ["way -> _service/ticket -> _values: socket"]
    assert trespasses(planted) == [
        "_plan/way.py imports _render/secret: _render comes after _plan",
        "_plan/way.py imports _render/secret: no door of _render",
    ]


def test_a_public_name_is_defined_once() -> None:
    defined: dict[str, list[str]] = {}
    for path in [*PLUGINS.glob("module_utils/**/*.py"), *PLUGINS.glob("plugin_utils/**/*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name in _names(node):
                defined.setdefault(name, []).append(str(path.relative_to(PLUGINS)))
    # Every program of a unit has its own main().
    assert {name: places for name, places in defined.items() if len(places) > 1 and name != "main"} == {}


def _names(node: ast.stmt) -> list[str]:
    """Return the public names that a statement at the top of a file defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        names = [node.name]
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    else:
        names = [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []
    return [name for name in names if not name.startswith("_")]
