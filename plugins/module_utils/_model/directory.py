# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of each model on this host: whether it must be fetched, and whether the services can read it."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RECORD = ".fetched.json"


def inspect_models(models: Sequence[Mapping[str, Any]], directory: str, user: str) -> list[dict[str, Any]]:
    """Return every model with its ``path`` and with what there is of it.

    - ``fetch``: whether it must be fetched: it comes from a hub, and is not there, not whole or of another revision;
    - ``replaces``: what is in its place and would be overwritten, as REPOSITORY@REVISION, or None;
    - ``problem``: why ``user`` cannot read it, as the end of a sentence, or None.

    ``directory`` is where fetched ones go that state no place. Must run as root.
    """
    found = [with_defaults(model, directory) for model in models]
    problems = problems_as(user, [model["path"] for model in found])
    for model, problem in zip(found, problems):
        record = record_of(model) if "repo_id" in model else {}
        model["replaces"] = other_origin(model, record)
        model["fetch"] = "repo_id" in model and (model["replaces"] is not None or not is_complete(model, record))
        model["problem"] = problem
    return found


def with_defaults(model: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """Return a model of the list with what the user left out."""
    given = {key: value for key, value in model.items() if value is not None}
    if "repo_id" not in given:
        return given
    defaults = {"path": os.path.join(directory, given["name"]), "revision": "main", "ignore_patterns": []}
    if "dest" in given:
        given["path"] = given.pop("dest")
    return {**defaults, **given}


def record_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of the last fetch to where a model belongs, {} without one."""
    try:
        record: dict[str, Any] = json.loads((Path(model["path"]) / RECORD).read_text(encoding="utf-8"))
        return record
    except (OSError, ValueError):
        return {}


def other_origin(model: Mapping[str, Any], record: Mapping[str, Any]) -> str | None:
    """Return the repository and revision that were fetched, where they are not those of the model."""
    if not record or (record["repo_id"], record["revision"]) == (model["repo_id"], model["revision"]):
        return None
    return f"{record['repo_id']}@{record['revision']}"


def is_complete(model: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Return whether every file of the last fetch has its size."""
    try:
        sizes = record["files"].items()
        return all((Path(model["path"]) / name).stat().st_size == size for name, size in sizes)
    except (OSError, KeyError):
        return False


def problem_of(directory: str) -> str | None:
    """Return why the files of a model cannot be read by the user that this process runs as, or None."""
    if not os.path.isdir(directory):
        return f"{directory} is not a directory, or lies in one that the user may not enter"
    unreadable: list[str] = []
    for folder, folders, files in os.walk(directory, onerror=lambda error: unreadable.append(error.filename)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                path = os.path.join(folder, name)
                try:
                    with open(path, "rb") as file:
                        file.read(1)
                except OSError:
                    unreadable.append(path)
    if unreadable:
        return f"{len(unreadable)} of its files cannot be read, the first is {min(unreadable)}"
    return None


def problems_as(user: str, directories: Sequence[str]) -> list[str | None]:
    """Ask ``problem_of`` as another user; a child process becomes that user, because there is no way back.

    Of a user that is not there yet, as in check mode on a fresh host, nobody can say what it may read.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return [None] * len(directories)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups(os.getgrouplist(user, entry.pw_gid))
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            with os.fdopen(writer, "w", encoding="utf-8") as pipe:
                json.dump([problem_of(directory) for directory in directories], pipe)
            status = 0
        finally:
            os._exit(status)  # never into what the parent still must do
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    found: list[str | None] = json.loads(text)
    return found
