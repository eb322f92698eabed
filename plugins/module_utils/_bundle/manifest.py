# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a bundle, SHA256SUMS: what sha256sum checks, too, read so strictly that no flipped bit passes.

Its first line is a comment to sha256sum, and holds the digest of all lines below. Anyone who wants to know who made a
bundle, and not only that it arrived as it was made, needs the digest of the whole manifest from elsewhere, or its
signature.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._errors import InferenceError

BUNDLE_MANIFEST_FILE = "SHA256SUMS"
SIGNATURE_FILE = "SHA256SUMS.sig"
AGAIN = "Copy the bundle again from where it was made, or make it anew (playbook bundle)."
_HEADER = "# llmops.inference bundle 1; SHA-256 of the lines below: "
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")
# What sha256sum would write in another way, and what leads out of a directory.
_NO_PATH = re.compile(r"[\\\x00-\x1f\x7f]|^/|/$|//|(^|/)\.\.?(/|$)")


@dataclass(frozen=True)
class BundleManifest:
    """The files of a bundle: path below it, with slashes -> SHA-256 in hexadecimal."""

    files: Mapping[str, str]

    def to_text(self) -> str:
        """The manifest as it is written; InferenceError for a name that it cannot hold."""
        bad = sorted(path for path in self.files if not _is_path(path))
        if bad:
            raise InferenceError(
                f"{bad[0]!r} cannot be in a bundle: name it without backslashes and control characters."
            )
        lines = "".join(f"{self.files[path]}  {path}\n" for path in sorted(self.files))
        return f"{_HEADER}{digest_of(lines.encode())}\n{lines}"

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> BundleManifest:
        """The manifest that was read from ``name``; InferenceError where a bit of it is not as it was written."""
        header, _newline, lines = content.partition(b"\n")
        if not header.startswith(_HEADER.encode()):
            raise InferenceError(f"{name} does not begin as the manifest of a bundle does. {AGAIN}")
        said, found = header[len(_HEADER) :].decode("ascii", "replace"), digest_of(lines)
        if said != found:
            raise InferenceError(
                f"{name} was changed or damaged: its lines have the SHA-256 {found}, and its first line says {said}."
                f" {AGAIN}",
                path=name,
                expected=said,
                found=found,
            )
        entries = [_LINE.fullmatch(line) for line in lines.decode("utf-8", "replace").split("\n")]
        files = {entry.group(2): entry.group(1) for entry in entries if entry is not None}
        if not all(map(_is_path, files)) or cls(files).to_text().encode() != content:
            raise InferenceError(
                f"{name} is none that this collection wrote: names twice, out of order or outside. {AGAIN}"
            )
        return cls(files)

    def below(self, part: str) -> dict[str, str]:
        """The files of one directory of the bundle: path below that directory -> SHA-256; empty where it has none."""
        return {
            path[len(part) + 1 :]: digest
            for path, digest in self.files.items()
            if path.startswith(part.rstrip("/") + "/")
        }

    def siblings(self, part: str) -> list[str]:
        """What the bundle has where ``part`` should be, such as the wheels for other Pythons."""
        parent = part.rpartition("/")[0]
        return sorted({f"{parent}/{path.partition('/')[0]}" for path in self.below(parent)})


def digest_of(content: bytes) -> str:
    """The SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def check_pin(content: bytes, expected: str, name: str) -> None:
    """InferenceError unless this is the manifest whose digest is known from elsewhere; any is where that is empty."""
    found = digest_of(content)
    if expected and expected.lower() != found:
        raise InferenceError(
            f"{name} is not the manifest that was expected: it has the SHA-256 {found}, and vllm_bundle_manifest_sha256"
            f" is {expected}. Bring the bundle with that manifest, or, for another one, state the digest that the"
            " playbook bundle printed when it was made.",
            path=name,
            expected=expected,
            found=found,
        )


def differences(problems: Iterable[str]) -> InferenceError:
    """One refusal for all that is wrong with files of a bundle."""
    told = list(problems)
    more = f" So are {len(told) - 3} more." if len(told) > 3 else ""
    return InferenceError(f"{' '.join(told[:3])}{more} Nothing was started.", problems=told)


def _is_path(path: str) -> bool:
    return bool(path) and not _NO_PATH.search(path)
