# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered, immutable generations of the host's configuration, and the one link that says which is active.

``/etc/vllm/generations/7/...`` is written aside and renamed into place, so that a generation exists whole or not at
all; ``/etc/vllm/current`` is replaced by a rename, so that there is no moment without one. Both are still so after the
power has failed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from .. import _files
from .._errors import InferenceError
from .files import File, Files
from .manifest import DIRECTORY_MODE, MANIFEST_FILE, MANIFEST_MODE, Manifest, damage


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
    def link(self) -> Path:
        """The link to the active generation."""
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
        """The active generation, None before the first deployment and where the link is lost."""
        try:
            name = os.path.basename(os.readlink(self.link))
        except OSError:
            return None
        return int(name) if name.isdigit() and (self._directory / name).is_dir() else None

    def base(self) -> int | None:
        """The generation to go on from: the active generation; where the link is lost, the newest that is kept."""
        current, numbers = self.current(), self.numbers()
        return numbers[-1] if current is None and numbers else current

    def kept(self, number: int | None) -> int | None:
        """The number, where a generation of it is kept; None otherwise."""
        return number if number in self.numbers() else None

    def path(self, number: int) -> Path:
        """The directory of a generation."""
        return self._directory / str(number)

    def read(self, number: int | None) -> dict[str, File]:
        """Every file of a generation by its path below it, as it is now; empty for None.

        A mode that is not the one it was written with counts as another file: it will be written again.
        """
        if number is None:
            return {}
        base, files = self.path(number), {}
        for path in sorted(_regular_files(base)):
            name = str(path.relative_to(base))
            if name != MANIFEST_FILE:
                secret = path.stat().st_mode & 0o077 == 0
                files[name] = File(path.read_text(errors="replace"), secret)
        return files

    def manifest(self, number: int) -> Manifest | None:
        """What a generation was when it was written; None where that cannot be read any more."""
        try:
            return Manifest.read(self.path(number))
        except InferenceError:
            return None

    def damage(self, number: int | None) -> dict[str, str]:
        """What of a generation is not as it was written, by path below it; empty for None."""
        return {} if number is None else damage(self.path(number), self._group_id)

    def next_number(self) -> int:
        """The number of the generation that will be written next."""
        return (self.numbers() or [0])[-1] + 1

    def in_force(self) -> dict[str, File]:
        """Every file of the active generation, as it is now; empty before the first deployment."""
        return self.read(self.current())

    def link_change(self, number: int) -> tuple[str | None, str | None]:
        """Where the link points, and where it points with an active generation."""
        return os.readlink(self.link) if self.link.is_symlink() else None, _target(number)

    def write(self, files: Files, number: int, replaces: int | None) -> None:
        """Write a new generation; nothing of it remains when writing fails.

        Raises InferenceError on a full or read-only disk, naming the path.
        """
        aside = self._directory / f".{number}.incomplete"
        self.prepare()
        try:
            self._keep_digest_key()
            shutil.rmtree(aside, ignore_errors=True)
            self._make_directory(aside)
            for name, file in sorted(files.items()):
                self._write_file(aside, name, file)
            manifest = Manifest.of({name: (file.text, file.mode) for name, file in files.items()}, replaces)
            _files.create(aside / MANIFEST_FILE, manifest.to_json(), MANIFEST_MODE, 0)
            for path in (aside, *aside.rglob("*")):
                if path.is_dir():
                    _files.synchronise(path)
            aside.rename(self.path(number))
            _files.synchronise(self._directory)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise self._unwritable(f"generation {number}", error) from error

    def prepare(self) -> None:
        """Make the directories that hold everything; InferenceError where that cannot be."""
        try:
            for path in (self._root, self._directory):
                self._make_directory(path)
        except OSError as error:
            raise self._unwritable("generations", error) from error

    def _unwritable(self, what: str, error: OSError) -> InferenceError:
        return InferenceError(
            f"cannot write {what} below {self._directory} ({error.strerror}); the active generation is unchanged: "
            "make room or the directory writable, and run again"
        )

    def _keep_digest_key(self) -> None:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self.digest_key())

    def _make_directory(self, path: Path) -> None:
        path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        os.chown(path, 0, self._group_id)
        path.chmod(DIRECTORY_MODE)

    def _write_file(self, base: Path, name: str, file: File) -> None:
        path = base / name
        for parent in reversed(path.relative_to(base).parents):
            self._make_directory(base / parent)
        _files.create(path, file.text, file.mode, 0 if file.secret else self._group_id)

    def stage(self, number: int) -> None:
        """Create what ``switch`` will rename, so that a full disk is found before anything stops."""
        if self.link.exists() and not self.link.is_symlink():
            raise InferenceError(f"{self.link} is no link to a generation; move it away, and run again")
        try:
            _files.stage_link(self.link, _target(number))
        except OSError as error:
            raise self._unwritable("the link to a generation", error) from error

    def switch(self, number: int | None) -> None:
        """Activate a generation in one atomic step, or none; a link that is right already is not written again."""
        if number is None:
            _files.unlink(self.link)
        elif self.link_change(number) != (_target(number), _target(number)):
            _files.replace_link(self.link, _target(number))
        else:
            _files.drop_staged(self.link)

    def remove(self, number: int) -> None:
        """Delete a generation that is not active, in one step as seen from outside."""
        if number == self.current():
            raise InferenceError(f"generation {number} is active and is not deleted; switch to another first")
        doomed = self._directory / f".{number}.removed"
        with contextlib.suppress(FileNotFoundError):
            self.path(number).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def collect(self, keep: int, before: int | None = None) -> list[int]:
        """Delete the oldest generations beyond ``keep`` and whatever an interrupted run left; returns what was deleted.

        The active one stays, and so does the one that served ``before`` it.
        """
        for leftover in self._directory.glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)
        current = self.current()
        old = [number for number in self.numbers() if number != current]
        excess = max(0, len(old) - (keep - 1))
        doomed = [number for number in old if number != before][:excess]
        for number in doomed:
            self.remove(number)
        return doomed

    def remove_all(self) -> None:
        """Delete every generation, the link and the key."""
        self.switch(None)
        self._key_path.unlink(missing_ok=True)
        shutil.rmtree(self._directory, ignore_errors=True)


def _target(number: int) -> str:
    return f"generations/{number}"


def _regular_files(base: Path) -> Iterator[Path]:
    """Yield every regular file below ``base``, none where it is absent.

    Raises OSError where the disk does not tell: a generation read in part would stop the services of the rest.
    """

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for directory, _directories, names in os.walk(base, onerror=fail):
        for name in names:
            path = Path(directory, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path
