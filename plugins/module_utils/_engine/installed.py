# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role vllm_runtime has recorded of its installations on this host, as far as it still holds.

Asking an engine for its version and its flags takes as long as importing it. So they are kept in ``engine.json``, with
a digest of what they were read from: the list that the installer wrote of all files of that distribution. An engine
that was replaced in place since then has another one, or none, and its record counts for nothing.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import InferenceError, NotInstalledError

ENGINE_RECORD = "engine.json"
TOOLS_RECORD = "tools.json"
# In the tree of an engine that the role makes, from before its first package.
MARK = ".made-by-llmops-inference"
TOOLS = "tools"
# Below the root of engines: a record per image, named after the digest that the image is pinned by.
IMAGES = "images"
SHELL = "/usr/sbin/nologin"
_PINNED = re.compile(r"[^@\s]+@sha256:([0-9a-f]{64})")


def engine_record(directory: Path) -> dict[str, Any] | None:
    """Return ``engine.json`` of an engine's tree; None where there is none, or it is not of what lies there now."""
    try:
        record: dict[str, Any] = json.loads((directory / ENGINE_RECORD).read_text(encoding="utf-8"))
        read_from: Mapping[str, str] = record["read_from"]
        holds = all(_digest(directory / path) == digest for path, digest in read_from.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if holds and read_from else None


def is_ours(directory: Path) -> bool:
    """Tell whether the role made an engine's tree, or would: it has the role's mark, or a record that is no adoption's.

    Whatever is not ours is not deleted.
    """
    if not directory.is_dir() or directory.is_symlink():
        return not os.path.lexists(directory)
    if (directory / MARK).is_file() or next(directory.iterdir(), None) is None:
        return True
    try:
        record = json.loads((directory / ENGINE_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and not record.get("adopted")


def contents(root: Path) -> tuple[list[str], list[str]]:
    """Return the paths below the root of engines that the role made, and those that it did not make, sorted."""
    entries = sorted(root.iterdir()) if root.is_dir() else []
    ours = [str(path) for path in entries if path.name in (TOOLS, IMAGES) or is_ours(path)]
    return ours, [str(path) for path in entries if str(path) not in ours]


def image_record(root: Path, image: str) -> dict[str, Any] | None:
    """Return what the engine in an image, ``NAME@sha256:DIGEST``, said of itself; None where it was not asked.

    An image is what its digest says, so that its record holds for ever. Raises InferenceError for one that is not
    pinned.
    """
    pinned = _PINNED.fullmatch(image)
    if not pinned:
        raise InferenceError(
            f"the image {image} is not pinned: state it as NAME@sha256:DIGEST, so that the same engine runs tomorrow"
        )
    try:
        record: dict[str, Any] = json.loads((root / IMAGES / f"{pinned.group(1)}.json").read_text(encoding="utf-8"))
        return record if record["image"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_images(root: Path, images: Collection[str]) -> None:
    """Delete the records of images, by podman's ids of them."""
    for path in (root / IMAGES).glob("*.json"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if json.loads(path.read_text(encoding="utf-8"))["image"] in images:
                path.unlink()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tools_record(directory: Path) -> list[str]:
    """Return the requirements that the tools were installed for; [] where they are not there, or not whole."""
    try:
        record = json.loads((directory / TOOLS_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return record if isinstance(record, list) else []


def account_exists(user: str, group: str, home: str) -> bool:
    """Return whether the services' user is there as the role makes it: its group, its home, and no login."""
    try:
        entry, group_id = pwd.getpwnam(user), grp.getgrnam(group).gr_gid
    except KeyError:
        return False
    wanted = (group_id, home, SHELL)
    return (entry.pw_gid, entry.pw_dir, entry.pw_shell) == wanted and Path(home).is_dir()


@dataclass(frozen=True)
class Engine:
    """An installed engine, as it described itself when it was installed.

    ``flags`` are the long options of ``vllm serve`` without their dashes; ``directory`` is the root of its virtual
    environment, e.g. ``/opt/vllm/0.32.0``, or ``image`` the id of the image that holds it, ``sha256:HEX``.
    """

    version: str
    distribution: str
    accelerator: str
    directory: str
    flags: frozenset[str]
    image: str | None = None
    ray: str | None = None  # the version of Ray beside it
    numbers: frozenset[str] = frozenset()  # flags that take a number; empty in the record of an older version
    architectures: frozenset[str] = frozenset()  # model classes that it runs; empty where its record does not tell

    @property
    def executable(self) -> str:
        """The console script that a unit starts: its path, or its name where the image knows the path."""
        return "vllm" if self.image else f"{self.directory}/bin/vllm"


def read_engine(root: str, version: str | None, accelerator: str, image: str | None = None) -> Engine:
    """Return the engine of a version below ``root`` (usually ``/opt/vllm``), or the one in an ``image``.

    Raises InferenceError where no version is stated, or it is not installed, not completely, or for another
    accelerator.
    """
    if version is None:
        raise InferenceError(
            "engine_version must be stated: several engines may be installed; state the version of one"
        )
    if image:
        return _read_image(root, version, accelerator, image)
    directory = Path(root) / version
    record = engine_record(directory)
    if record is None:
        others = sorted(path.parent.name for path in Path(root).glob(f"*/{ENGINE_RECORD}"))
        if version in others:
            raise NotInstalledError(
                f"{directory} holds another engine than its record, {ENGINE_RECORD}, was made of; run the role "
                "llmops.inference.vllm_runtime, which asks it anew"
            )
        raise NotInstalledError(
            f"vLLM {version} is not installed below {root} (installed: {', '.join(others) or 'none'}); run the role "
            "llmops.inference.vllm_runtime for this version, or choose an installed one"
        )
    _refuse_other_accelerator(record, str(directory), version, accelerator)
    flags, told = frozenset(record["flags"]), _told(record)
    return Engine(version, record["distribution"], accelerator, str(directory), flags, ray=record.get("ray"), **told)


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sets of names that the record of an older version does not have."""
    return {name: frozenset(record.get(name, ())) for name in ("numbers", "architectures")}


def _read_image(root: str, version: str, accelerator: str, image: str) -> Engine:
    record = image_record(Path(root), image)
    if record is None:
        raise NotInstalledError(
            f"the image {image} is not on this host; run the role llmops.inference.vllm_runtime with this "
            "vllm_runtime_image, or choose another one"
        )
    found = record["version"].partition("+")[0]
    if found != version:
        raise InferenceError(
            f"the image {image} holds vLLM {found}, and engine_version is {version}; state the version that it holds, "
            "or the image of that version"
        )
    _refuse_other_accelerator(record, image, version, accelerator)
    flags, told = frozenset(record["flags"]), _told(record)
    return Engine(version, record["distribution"], accelerator, "", flags, record["image"], **told)


def _refuse_other_accelerator(record: Mapping[str, Any], place: str, version: str, accelerator: str) -> None:
    if record["accelerator"] != accelerator:
        raise InferenceError(
            f"{place} holds the {record['accelerator']} build of vLLM {version}, and the layout asks for "
            f"{accelerator}; set the accelerator to {record['accelerator']}, or install the other build elsewhere"
        )
