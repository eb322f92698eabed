# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a generation was when it was written: by it, a changed, lost or added file is found, and so is a changed owner.

The manifest lies in the generation and belongs to root alone: digests of secrets are nobody else's business.
"""

from __future__ import annotations

import hashlib
import json
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import InferenceError

MANIFEST_FILE = "manifest.json"
MANIFEST_MODE = 0o600
DIRECTORY_MODE = 0o750
# A file of a generation with more than this is not read (bytes).
_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class Manifest:
    """When a generation was ``made`` (UTC, ISO 8601), which one was active then, and its files.

    ``files`` maps a path below the generation to its SHA-256 in hexadecimal and its mode in octal.
    """

    made: str
    replaces: int | None
    files: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, files: Mapping[str, tuple[str, int]], replaces: int | None) -> Manifest:
        """The manifest of files that are about to be written: path -> text and mode."""
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        digests = {name: (_digest(text.encode()), f"{mode:04o}") for name, (text, mode) in files.items()}
        return cls(made, replaces, digests)

    def to_json(self) -> str:
        """The manifest as a text of the generation."""
        return json.dumps(vars(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """The manifest of a generation; InferenceError where it has none that can be read."""
        path = directory / MANIFEST_FILE
        try:
            values: dict[str, Any] = json.loads(path.read_text())
            files = {str(name): (str(digest), str(mode)) for name, (digest, mode) in values["files"].items()}
            replaces = values["replaces"]
            return cls(str(values["made"]), None if replaces is None else int(replaces), files)
        except FileNotFoundError as error:
            raise InferenceError(f"{path} is gone") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InferenceError(f"{path} cannot be read ({type(error).__name__})") from error


def damage(directory: Path, group_id: int) -> dict[str, str]:
    """What of a generation is not as it was written: path below it -> what is wrong; empty where all is well.

    ``group_id`` is the group that files which are not secret belong to.
    """
    try:
        manifest = Manifest.read(directory)
    except InferenceError as error:
        return {MANIFEST_FILE: str(error)}
    found = dict(_entries(directory))
    wrong = {name: "is gone" for name in manifest.files if name not in found}
    for name, path in found.items():
        if path.is_dir() and not path.is_symlink():
            problem = _access_problem(path, DIRECTORY_MODE, group_id)
        elif name == MANIFEST_FILE:
            problem = _access_problem(path, MANIFEST_MODE, 0)
        elif name not in manifest.files:
            problem = "was added"
        else:
            digest, mode = manifest.files[name]
            problem = _file_problem(path, digest, int(mode, 8), group_id)
        if problem:
            wrong[name] = problem
    return dict(sorted(wrong.items()))


def _entries(directory: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(directory.rglob("*")):
        yield str(path.relative_to(directory)), path


def _file_problem(path: Path, digest: str, mode: int, group_id: int) -> str | None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_size > _MAX_BYTES or _digest(path.read_bytes()) != digest:
        return "was changed"
    return _access_problem(path, mode, 0 if mode & 0o077 == 0 else group_id)


def _access_problem(path: Path, mode: int, group_id: int) -> str | None:
    status = path.lstat()
    now, wanted = stat.S_IMODE(status.st_mode), mode
    if (now, status.st_uid, status.st_gid) == (wanted, 0, group_id):
        return None
    return (
        f"has mode {now:04o} and belongs to {status.st_uid}:{status.st_gid}, "
        f"where mode {wanted:04o} and 0:{group_id} were written"
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
