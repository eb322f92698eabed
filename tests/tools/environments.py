# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments beside .venv, for tools and versions of Python that cannot share it.

They are kept in the user's cache, each under a name that follows from its Python and its packages, so that checkouts
share them and a changed list makes a new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmops-inference"
FIND_PYTHON = ROOT / "tests" / "tools" / "find-python"


def find_python(version: str) -> Path | None:
    """Return an interpreter of a version, "3.12", that runs here; None where there is none."""
    found = subprocess.run([FIND_PYTHON, version], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def environment(name: str, python: Path, packages: list[str]) -> Path:
    """Return the directory of a virtual environment with these packages; it is made when it is absent."""
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256("\n".join([str(python), version, *packages]).encode()).hexdigest()[:8]
    directory = CACHE / "environments" / f"{name}-{key}"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            subprocess.run([python, "-m", "venv", directory], check=True)
            install = [str(directory / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            subprocess.run([*install, *packages], check=True)
            (directory / "complete").touch()
    return directory


def copy_checkout(destination: Path) -> None:
    """Copy what git knows, or would add, to a directory that is not there yet."""
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    names = subprocess.run(list_files, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if os.path.lexists(ROOT / name):  # else deleted, and not yet committed
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name, follow_symlinks=False)
