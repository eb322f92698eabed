# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release is told the same by galaxy.yml, both changelogs and its git tag."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.tools import check_release


def write(root: Path, version: str, record: str, heading: str) -> None:
    (root / "changelogs" / "fragments").mkdir(parents=True, exist_ok=True)
    (root / "galaxy.yml").write_text(f"version: {version}\n", encoding="utf-8")
    (root / "changelogs" / "changelog.yaml").write_text(f"releases: {{{record}: {{}}}}\n", encoding="utf-8")
    (root / "CHANGELOG.rst").write_text(f"Notes\n=====\n\nv{heading}\n======\n", encoding="utf-8")


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose only commit is the release 1.2.0, tagged."""
    write(tmp_path, "1.2.0", "1.2.0", "1.2.0")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "release")
    git(tmp_path, "tag", "1.2.0")
    return tmp_path


def test_this_checkout_agrees_with_itself() -> None:
    assert not [*check_release.differences(check_release.ROOT), *check_release.wrong_tags(check_release.ROOT)]


def test_a_release_agrees_with_its_tag(checkout: Path) -> None:
    assert not [*check_release.differences(checkout), *check_release.wrong_tags(checkout)]
    assert not [*check_release.not_the_release(checkout, "1.2.0")]


@pytest.mark.parametrize(
    ("record", "heading", "named"),
    [("1.1.0", "1.2.0", "changelog.yaml is 1.1.0"), ("1.2.0", "1.10.0", "rst is 1.10.0")],
)
def test_a_changelog_of_another_version_is_named(tmp_path: Path, record: str, heading: str, named: str) -> None:
    write(tmp_path, "1.2.0", record, heading)
    (sentence,) = check_release.differences(tmp_path)
    assert named in sentence


def test_a_tag_on_a_commit_of_another_version_is_named(checkout: Path) -> None:
    git(checkout, "tag", "1.3.0")
    git(checkout, "tag", "nightly")
    assert [*check_release.wrong_tags(checkout)] == ["the git tag 1.3.0 names a commit whose galaxy.yml has 1.2.0"]


def test_a_tag_needs_its_version_and_no_fragment_left(checkout: Path) -> None:
    (checkout / "changelogs" / "fragments" / "late.yml").write_text("bugfixes: [late]\n", encoding="utf-8")
    version, fragments = check_release.not_the_release(checkout, "1.3.0")
    assert "the tag is 1.3.0, and galaxy.yml has version 1.2.0" in version
    assert fragments == "1 changelog fragments are in no release: late.yml"


def test_versions_are_compared_as_numbers() -> None:
    assert check_release.newest(["1.9.0", "1.10.0"]) == "1.10.0"
    assert not check_release.newest([])
