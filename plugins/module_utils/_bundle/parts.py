# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts directories of a bundle in their places on a host: whole and verified there, or not at all.

A part is gathered beside its place, out of what is there already, a directory that holds the bundle, or files that were
brought. Every file is verified where it lies then, and the directory takes its place by its name. What an interrupted
run has gathered is kept for the next.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from .._errors import InferenceError
from .._values import GIB
from .check import difference, entries, problems_of
from .digests import Digests
from .manifest import AGAIN, BundleManifest, differences

# What a copy leaves free on a file system (bytes).
_SPARE_BYTES = GIB
_CHUNK_BYTES = 1 << 22
# What vllm_models leaves beside the same files where it has fetched them.
FETCHED = ".fetched.json"


@dataclass(frozen=True)
class Part:
    """A directory of the bundle, its place on the host, and whether it is ours to replace there."""

    path: str
    dest: Path
    replace: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Part:
        """A part as a module's parameter says it."""
        return cls(values["path"], Path(values["dest"]), values["replace"])

    @property
    def aside(self) -> Path:
        """Where it is gathered."""
        return self.dest.with_name(f".{self.dest.name}.partial")


@dataclass
class Progress:
    """What was done: parts that changed, and files that must be brought (paths in the bundle)."""

    changed: list[str]
    missing: list[str]


def put(
    parts: Sequence[Part],
    manifest: BundleManifest,
    digests: Digests,
    *,
    source: Optional[Path],
    brought: Mapping[str, Path],
    check_mode: bool,
) -> Progress:
    """Put every part in its place, as far as its files are on the host; InferenceError for what is not as it was made.

    ``source`` is the bundle, where the host has it; ``brought`` are files that were transferred: path in the bundle ->
    where they are now. Nothing takes its place before every part is whole.
    """
    progress = Progress([], [])
    wanted = {part: _files_of(part, manifest) for part in parts}
    for part, files in wanted.items():
        in_place = source is not None and _same(source / part.path, part.dest)
        if not _is_whole(part, files, digests, in_place):
            progress.changed.append(part.path)
            progress.missing += _gather(part, files, digests, source=source, brought=brought, check_mode=check_mode)
    if not progress.missing and not check_mode:
        for part, files in wanted.items():
            if part.path in progress.changed:
                _take_place(part, files, digests)
    return progress


def _files_of(part: Part, manifest: BundleManifest) -> dict[str, str]:
    files = manifest.below(part.path)
    if not files:
        there = manifest.siblings(part.path)
        raise InferenceError(
            f"the bundle has no {part.path}, which belongs in {part.dest}; it has"
            f" {', '.join(there) or 'nothing like it'}. Make it with that (playbook bundle), or take it out of"
            " vllm_bundle_parts."
        )
    return files


def _is_whole(part: Part, files: Mapping[str, str], digests: Digests, in_place: bool) -> bool:
    """Whether a part is in its place already; InferenceError where something else is, and it is not ours to replace."""
    if not part.dest.is_dir():
        return False
    way_out = (
        AGAIN
        if in_place
        else f"{part.dest} is not replaced, for an engine may serve it: if it is this model, damaged, remove the"
        " directory and run again; if it is another one, give one of the two another name or 'dest' in"
        " vllm_models_list."
    )
    problems = list(problems_of(part.dest, files, digests, (FETCHED,), way_out))
    if problems and (in_place or not part.replace):
        raise differences(problems)
    return not problems


def _gather(
    part: Part,
    files: Mapping[str, str],
    digests: Digests,
    *,
    source: Optional[Path],
    brought: Mapping[str, Path],
    check_mode: bool,
) -> list[str]:
    """Gather what is on the host, and return what must be brought yet."""
    if check_mode:
        return []
    for name in sorted(set(_entries(part.aside)) - files.keys()):
        (part.aside / name).unlink()
    _take(part, files, digests, brought)
    there = _good(part.aside, files, digests)
    lacking = [name for name in files if name not in there]
    kept = _good(part.dest, {name: files[name] for name in lacking}, digests)
    for name in kept:
        _make_way(part.aside / name)
        os.link(part.dest / name, part.aside / name)
    lacking = [name for name in lacking if name not in kept]
    if source is None:
        return [f"{part.path}/{name}" for name in lacking]
    _refuse_without_room(part, [source / part.path / name for name in lacking])
    for name in lacking:
        _copy(source / part.path / name, part.aside / name, files[name])
    return []


def _take(part: Part, files: Mapping[str, str], digests: Digests, brought: Mapping[str, Path]) -> None:
    """Move what was brought to where the part is gathered; InferenceError for what did not arrive as it was made."""
    arrived = {name: brought[f"{part.path}/{name}"] for name in files if f"{part.path}/{name}" in brought}
    for name, path in arrived.items():
        _make_way(part.aside / name)
        shutil.move(path, part.aside / name)
        _open_to_readers(part.aside / name)
    found = digests.of(part.aside / name for name in arrived)
    way_out = "That was on its way to the host: run again."
    wrong = []
    for name in sorted(arrived):
        path = part.aside / name
        if found[path] != files[name]:
            path.unlink()
            wrong.append(difference(Path(part.path, name), found[path], files[name], way_out))
    if wrong:
        raise differences(wrong)


def _take_place(part: Part, files: Mapping[str, str], digests: Digests) -> None:
    """Let what was gathered take its place, and look at it there once more."""
    for folder, _folders, names in os.walk(part.aside):
        os.chmod(folder, 0o755)
        for name in names:
            _open_to_readers(Path(folder, name))
    problems = list(problems_of(part.aside, files, digests))
    if problems:
        raise differences(problems)
    old = part.dest.with_name(f".{part.dest.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if part.dest.exists():
        part.dest.rename(old)
    part.aside.rename(part.dest)
    shutil.rmtree(old, ignore_errors=True)
    digests.of(part.dest / name for name in files)


def _good(directory: Path, files: Mapping[str, str], digests: Digests) -> set[str]:
    """Which of the files a directory has as they should be."""
    found = _entries(directory)
    digest_by_path = digests.of(directory / name for name in files if found.get(name))
    return {name for name in files if digest_by_path.get(directory / name) == files[name]}


def _entries(directory: Path) -> dict[str, bool]:
    return entries(directory) if directory.is_dir() else {}


def _copy(source: Path, dest: Path, expected: str) -> None:
    """Copy a file and hash what is copied; InferenceError, and no file, where it is not what it should be."""
    _make_way(dest)
    digest = hashlib.sha256()
    try:
        with open(source, "rb", buffering=0) as reader, open(dest, "wb") as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                digest.update(chunk)
                writer.write(chunk)
    except FileNotFoundError as error:
        raise InferenceError(f"{error.filename} is missing, and the manifest names it. {AGAIN}") from error
    if digest.hexdigest() != expected:
        dest.unlink()
        raise differences([difference(source, digest.hexdigest(), expected)])


def _refuse_without_room(part: Part, sources: Sequence[Path]) -> None:
    needed = sum(path.stat().st_size for path in sources if path.exists())
    refuse_without_room(part.dest, needed, free_disk_bytes(part.dest))


def refuse_without_room(dest: Path, needed: int, free: int) -> None:
    """InferenceError where so many more bytes do not fit at a place."""
    if needed and needed + _SPARE_BYTES > free:
        raise InferenceError(
            f"{dest} needs {needed / GIB:.2f} GiB more of the bundle, and 1 GiB is to stay free, but only"
            f" {free / GIB:.2f} GiB are. Free some, or choose another place (vllm_bundle_store,"
            " vllm_models_directory)."
        )


def free_disk_bytes(place: Path) -> int:
    """What is free on the file system of a path that need not be there yet."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _open_to_readers(path: Path) -> None:
    """Give a file to this user, and let everybody read it; one that is so already stays as it was hashed."""
    status = path.lstat()
    if status.st_uid != os.geteuid() or status.st_gid != os.getegid():
        os.chown(path, os.geteuid(), os.getegid())
    if status.st_mode & 0o777 != 0o644:
        os.chmod(path, 0o644)


def _make_way(path: Path) -> None:
    """Have a place for a file: its directory, and nothing there."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
