# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered, immutable generations of the host's configuration, and the one link that says which is in force.

``/etc/vllm/generations/7/...`` is written aside and renamed into place, so that a generation exists whole or not at
all; ``/etc/vllm/current`` is replaced by a rename, so that there is no moment without one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ._errors import InferenceError

_DIRECTORY_MODE = 0o750


@dataclass(frozen=True)
class File:
    """A file of a generation. ``secret`` files belong to root alone and never appear in a diff."""

    text: str
    secret: bool = False

    @property
    def mode(self) -> int:
        """Readable by the services' group, or by root only."""
        return 0o600 if self.secret else 0o640


Files = Mapping[str, File]


class GenerationStore:
    """The generations below ``root`` (usually ``/etc/vllm``).

    ``group_id`` is the group that may read them, the services' own.
    """

    def __init__(self, root: str, group_id: int) -> None:
        self._root = Path(root)
        self._group_id = group_id
        self._digest_key: bytes | None = None

    @property
    def _directory(self) -> Path:
        return self._root / "generations"

    @property
    def _link(self) -> Path:
        return self._root / "current"

    @property
    def _key_path(self) -> Path:
        return self._root / "digest.key"

    def digest_key(self) -> bytes:
        """The host's random key for digests of what holds secrets, root's alone; a new one is kept by ``write``."""
        if self._digest_key is None:
            self._digest_key = self._key_path.read_bytes() if self._key_path.exists() else secrets.token_bytes(32)
        return self._digest_key

    def numbers(self) -> list[int]:
        """All complete generations, oldest first."""
        if not self._directory.is_dir():
            return []
        return sorted(int(entry.name) for entry in self._directory.iterdir() if entry.name.isdigit())

    def current(self) -> int | None:
        """The generation in force, None before the first deployment."""
        try:
            name = os.path.basename(os.readlink(self._link))
        except OSError:
            return None
        return int(name) if name.isdigit() and (self._directory / name).is_dir() else None

    def path(self, number: int) -> Path:
        """The directory of a generation."""
        return self._directory / str(number)

    def read(self, number: int | None) -> dict[str, File]:
        """Every file of a generation by its path below it; empty for None.

        A mode that is not the one it was written with counts as another file: it will be written again.
        """
        if number is None:
            return {}
        files = {}
        for path in sorted(self.path(number).rglob("*")):
            if path.is_file():
                secret = path.stat().st_mode & 0o077 == 0
                files[str(path.relative_to(self.path(number)))] = File(path.read_text(errors="replace"), secret)
        return files

    def in_force(self) -> dict[str, File]:
        """Every file of the generation in force; empty before the first deployment."""
        return self.read(self.current())

    def write(self, files: Files) -> int:
        """Write a new generation and return its number; nothing of it remains when writing fails.

        Raises InferenceError on a full or read-only disk, naming the path.
        """
        number = (self.numbers() or [0])[-1] + 1
        aside = self._directory / f".{number}.incomplete"
        try:
            self._make_directory(self._root)
            self._make_directory(self._directory)
            self._keep_digest_key()
            shutil.rmtree(aside, ignore_errors=True)
            self._make_directory(aside)
            for name, file in sorted(files.items()):
                self._write_file(aside, name, file)
            aside.rename(self.path(number))
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise InferenceError(
                f"cannot write generation {number} below {self._directory} ({error.strerror}); the generation in force "
                "is unchanged: make room or the directory writable, and run again"
            ) from error
        return number

    def _keep_digest_key(self) -> None:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self.digest_key())

    def _make_directory(self, path: Path) -> None:
        path.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        os.chown(path, 0, self._group_id)
        path.chmod(_DIRECTORY_MODE)

    def _write_file(self, base: Path, name: str, file: File) -> None:
        path = base / name
        for parent in reversed(path.relative_to(base).parents):
            self._make_directory(base / parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(file.text)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchown(stream.fileno(), 0, 0 if file.secret else self._group_id)
            os.fchmod(stream.fileno(), file.mode)

    def switch(self, number: int | None) -> None:
        """Put a generation in force, in one atomic step; None: no generation is."""
        if number is None:
            self._link.unlink(missing_ok=True)
            return
        aside = self._root / ".current.next"
        aside.unlink(missing_ok=True)
        aside.symlink_to(f"generations/{number}")
        os.replace(aside, self._link)

    def remove(self, number: int) -> None:
        """Delete a generation that is not in force."""
        if number == self.current():
            raise InferenceError(f"generation {number} is in force and is not deleted; switch to another first")
        shutil.rmtree(self.path(number), ignore_errors=True)

    def collect(self, keep: int) -> list[int]:
        """Delete the oldest generations beyond ``keep``, never the one in force; returns what was deleted."""
        current = self.current()
        old = [number for number in self.numbers() if number != current]
        doomed = old[: max(0, len(old) - (keep - 1))]
        for number in doomed:
            self.remove(number)
        return doomed

    def remove_all(self) -> None:
        """Delete every generation, the link and the key."""
        self.switch(None)
        self._key_path.unlink(missing_ok=True)
        shutil.rmtree(self._directory, ignore_errors=True)


def changed_paths(before: Files, after: Files) -> list[str]:
    """Paths that are new, gone, or not the same, sorted."""
    return sorted(name for name in set(before) | set(after) if before.get(name) != after.get(name))
