# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the files of a directory are those of a manifest: all of them, no others, and every bit."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from .._errors import InferenceError
from .digests import Digests
from .manifest import AGAIN, BUNDLE_MANIFEST_FILE, SIGNATURE_FILE, BundleManifest, differences


def read(directory: Path) -> bytes:
    """The manifest of a bundle as it lies there; InferenceError where there is none."""
    try:
        return (directory / BUNDLE_MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise InferenceError(
            f"{directory} holds no bundle that can be read ({error.strerror}: {error.filename}). Name the directory"
            " that the playbook bundle made (vllm_bundle_dir)."
        ) from error


def check_all(directory: Path, manifest: BundleManifest, digests: Digests) -> None:
    """InferenceError unless a bundle is what was made, to the last bit."""
    problems = list(problems_of(directory, manifest.files, digests, (BUNDLE_MANIFEST_FILE, SIGNATURE_FILE)))
    if problems:
        raise differences(problems)


def problems_of(
    directory: Path,
    files: Mapping[str, str],
    digests: Digests,
    besides: Collection[str] = (),
    way_out: str = AGAIN,
) -> Iterator[str]:
    """Yield, in sentences, how a directory differs from the files that it should have: path below it -> SHA-256.

    ``besides`` are files that may lie there, too; ``way_out`` is what to do about a file that is not as it should be.
    """
    found = entries(directory)
    for name in sorted(files.keys() - found.keys()):
        yield f"{directory / name} is missing. {way_out}"
    for name in sorted(found.keys() - files.keys() - {*besides}):
        yield f"{directory / name} is in no manifest: remove it, or find out who put it there."
    for name in sorted(name for name in files.keys() & found.keys() if not found[name]):
        yield f"{directory / name} is no regular file. {way_out}"
    regular = {directory / name: files[name] for name in files if found.get(name)}
    digest_by_path = digests.of(regular)
    for path in sorted(regular):
        if digest_by_path[path] != regular[path]:
            yield difference(path, digest_by_path[path], regular[path], way_out)


def difference(path: Path, found: str, expected: str, way_out: str = AGAIN) -> str:
    """A file that is not what the manifest says, in a sentence, and the way out."""
    return f"{path} was changed or damaged: it has the SHA-256 {found}, and the manifest says {expected}. {way_out}"


def entries(directory: Path) -> dict[str, bool]:
    """What lies below a directory, but for directories: path below it -> whether it is a regular file. OSError."""
    found = {}

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(directory, onerror=fail):
        linked = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in names + linked:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, directory)] = stat.S_ISREG(os.lstat(path).st_mode)
    return found
