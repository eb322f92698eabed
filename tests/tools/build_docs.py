# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the documentation as a site in build/docs/html: the pages of docs/ and a reference made of the code.

Every warning is an error: a link that leads nowhere, a page that no other leads to, an option that is not documented.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "build" / "docs" / "source"
SITE = ROOT / "build" / "docs" / "html"
COLLECTIONS = ROOT / ".venv" / "collections"
BIN = Path(sys.executable).parent
REPOSITORY = "https://github.com/llmops/inference/blob/main/"


def write_source() -> None:
    """Put pages and reference together."""
    shutil.rmtree(SOURCE.parent, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE, ignore=shutil.ignore_patterns("__pycache__"))
    for page in SOURCE.rglob("*.md"):
        depth = "../" * len(page.parent.relative_to(SOURCE).parts)
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(f"]({depth}../", f"]({REPOSITORY}"), encoding="utf-8")
    reference = SOURCE / "reference"
    reference.mkdir()
    command: list[str | Path] = [
        BIN / "antsibull-docs",
        "collection",
        "--use-current",
        "--squash-hierarchy",
        "--fail-on-error",
    ]
    env = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }
    subprocess.run([*command, "--dest-dir", reference, "llmops.inference"], check=True, env=env, cwd=COLLECTIONS)


def main() -> int:
    """Return the exit status."""
    write_source()
    build: list[str | Path] = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", SOURCE, SITE]
    status = subprocess.run(build, check=False).returncode
    if status == 0:
        print(f"{SITE.relative_to(ROOT)}/index.html")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
