# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model that a user asks about: a directory, a config.json or a name on a hub."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.checkpoint import (
    CONFIG,
    INDEX,
    read_checkpoint,
    read_config,
)
from ansible_collections.llmops.inference.plugins.module_utils._model.model import Checkpoint, checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._values import shown

from .hub import SECONDS, fetch_headers, is_repository

MODELS = "/var/lib/vllm/models"  # where the role vllm_models puts what it fetches
_STATED_WHOLE = ("parameters", "weights_bytes")


@dataclass(frozen=True)
class Model:
    """A model as it was read: ``stated`` by the user, found as ``source`` (directory, config or hub).

    ``path`` is its directory in a layout, ``served_from`` the argument of ``vllm serve``. ``revision`` is the commit
    that was read of a hub. ``note`` says why its weights are an estimate, where they are.
    """

    stated: str
    source: str
    name: str
    path: str
    served_from: str
    checkpoint: Checkpoint
    revision: str | None = None
    note: str | None = None


def read_model(
    stated: str,
    geometry: Mapping[str, Any],
    environment: Mapping[str, str],
    seconds: float = SECONDS,
) -> Model:
    """Read a model's shape and the headers of its weights; ``geometry`` overrides what its config.json says.

    A hub has ``seconds`` to answer, and nothing that it sent is kept. Raises InferenceError for what cannot be read.
    """
    path = Path(stated).expanduser()
    if path.is_dir():
        whole = path.resolve()
        checkpoint, note = _read_directory(whole, geometry)
        return Model(stated, "directory", service_name(whole.name), str(whole), str(whole), checkpoint, note=note)
    if path.is_file():
        checkpoint = _estimated(path, geometry)
        name = service_name(path.stem if path.name != CONFIG else path.resolve().parent.name)
        place = f"{MODELS}/{name}"
        return Model(stated, "config", name, place, place, checkpoint, note=f"{path} has no weights beside it")
    if not is_repository(stated):
        raise InferenceError(
            f"model: {shown(stated)} is no directory, no config.json and no name on a hub such as Qwen/Qwen3-8B."
        )
    return _read_hub(stated, geometry, environment, seconds)


def service_name(text: str) -> str:
    """Return a name that a service may have, as near to ``text`` as possible."""
    return re.sub(r"[^a-z0-9_.-]", "-", text.lower()).strip("_.-")[:64] or "model"


def _read_hub(stated: str, geometry: Mapping[str, Any], environment: Mapping[str, str], seconds: float) -> Model:
    name = stated.partition("@")[0]
    with tempfile.TemporaryDirectory(prefix="llmops-inference-") as kept:
        directory = Path(kept)
        try:
            revision = fetch_headers(stated, directory, environment, seconds)
            checkpoint, note = _read_directory(directory, geometry)
        except InferenceError as error:
            # The directory is gone by the time that the message is read.
            raise InferenceError(str(error).replace(kept, stated)) from None
    short = name.partition("/")[2]
    note = note and note.replace(kept, stated)
    place = f"{MODELS}/{service_name(short)}"
    return Model(stated, "hub", service_name(short), place, name, checkpoint, revision, note)


def _read_directory(directory: Path, geometry: Mapping[str, Any]) -> tuple[Checkpoint, str | None]:
    """Return the model of a directory, and why its weights are an estimate; None where they are not."""
    if not (directory / INDEX).exists() and not any(directory.glob("*.safetensors")):
        return _estimated(directory / CONFIG, geometry), f"{directory} has no *.safetensors file"
    if any(key in geometry for key in _STATED_WHOLE):
        return _estimated(directory / CONFIG, geometry), "their size is stated"
    return read_checkpoint(str(directory), geometry), None


def _estimated(file: Path, geometry: Mapping[str, Any]) -> Checkpoint:
    """Return the model that a config.json alone describes."""
    config = read_config(file)
    try:
        return checkpoint_from_geometry({**config, **geometry}, str(file))
    except InferenceError as error:
        raise InferenceError(
            f'{error} State it as geometry, such as -e \'{{"geometry": {{"weights_bytes": 16381470720}}}}\'.'
        ) from None
