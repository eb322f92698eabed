# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold galaxy.yml, the changelog and the git tags of releases to one another.

Without arguments: the version of galaxy.yml is the newest release of the changelog, and every git tag that is a version
names a commit whose galaxy.yml has that version.  With ``--tag VERSION``: this checkout is that release and nothing
more.  Prints every difference and fails when there is one.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
VERSION = re.compile(r"\d+\.\d+\.\d+")
HEADING = re.compile(r"^v(\d+\.\d+\.\d+)\n=+$", re.MULTILINE)


def galaxy_version(text: str) -> str:
    """Return the version that a galaxy.yml states."""
    return str(yaml.safe_load(text)["version"])


def newest(releases: list[str]) -> str:
    """Return the highest of several versions, or an empty string where there is no version."""
    return max(releases, key=lambda release: [int(part) for part in release.split(".")], default="")


def unreleased(root: Path) -> list[str]:
    """Return the names of the changelog fragments that no release has taken yet, sorted."""
    return sorted(path.name for path in (root / "changelogs" / "fragments").glob("*.yml"))


def differences(root: Path) -> Iterator[str]:
    """Yield, in a sentence each, where galaxy.yml and the two changelogs of a checkout disagree."""
    version = galaxy_version((root / "galaxy.yml").read_text(encoding="utf-8"))
    record = yaml.safe_load((root / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))
    released = newest([str(release) for release in record["releases"]])
    shown = newest(HEADING.findall((root / "CHANGELOG.rst").read_text(encoding="utf-8")))
    if released != version:
        yield f"galaxy.yml has version {version}, the newest release of changelog.yaml is {released or 'none'}"
    if shown != version:
        yield f"galaxy.yml has version {version}, the newest release of CHANGELOG.rst is {shown or 'none'}"


def git(root: Path, *arguments: str) -> str:
    """Return what git prints; an empty string where the checkout has no git history or git refuses."""
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def wrong_tags(root: Path) -> Iterator[str]:
    """Yield every git tag that is a version and whose commit has another version in galaxy.yml."""
    for tag in git(root, "tag", "--list").split():
        if VERSION.fullmatch(tag):
            text = git(root, "show", f"{tag}:galaxy.yml")
            version = galaxy_version(text) if text else "no version"
            if version != tag:
                yield f"the git tag {tag} names a commit whose galaxy.yml has {version}"


def not_the_release(root: Path, tag: str) -> Iterator[str]:
    """Yield why this checkout is not the release that a tag promises."""
    version = galaxy_version((root / "galaxy.yml").read_text(encoding="utf-8"))
    if tag != version:
        yield f"the tag is {tag}, and galaxy.yml has version {version}; run `make release VERSION={tag}` before tagging"
    if left := unreleased(root):
        yield f"{len(left)} changelog fragments are in no release: {', '.join(left)}"


def main() -> int:
    """Print every difference and return the exit status: 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", metavar="VERSION", help="the release that this checkout must be")
    parser.add_argument("root", nargs="?", type=Path, default=ROOT, help="the checkout (default: this one)")
    arguments = parser.parse_args()
    found = [*differences(arguments.root), *wrong_tags(arguments.root)]
    if arguments.tag:
        found += not_the_release(arguments.root, arguments.tag)
    for sentence in found:
        print(f"release: {sentence}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
