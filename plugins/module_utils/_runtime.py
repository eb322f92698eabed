# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that are installed on this host, as the role vllm_runtime recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._engine import Engine
from ._errors import InferenceError, NotInstalledError
from ._installed import ENGINE_RECORD, engine_record, image_record


def read_engine(root: str, version: str | None, accelerator: str, image: str | None = None) -> Engine:
    """Return the engine of a version below ``root`` (usually ``/opt/vllm``), or the one in an ``image``.

    Raises InferenceError where no version is stated, or it is not installed, not completely, or for another
    accelerator.
    """
    if version is None:
        raise InferenceError("engine_version has to be stated: which of several engines runs is no guess of ours")
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
    flags = frozenset(record["flags"])
    numbers = frozenset(record.get("numbers", ()))
    return Engine(
        version, record["distribution"], accelerator, str(directory), flags, ray=record.get("ray"), numbers=numbers
    )


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
    flags, numbers = frozenset(record["flags"]), frozenset(record.get("numbers", ()))
    return Engine(version, record["distribution"], accelerator, "", flags, record["image"], numbers=numbers)


def _refuse_other_accelerator(record: Mapping[str, Any], place: str, version: str, accelerator: str) -> None:
    if record["accelerator"] != accelerator:
        raise InferenceError(
            f"{place} holds the {record['accelerator']} build of vLLM {version}, and the layout asks for "
            f"{accelerator}; set the accelerator to {record['accelerator']}, or install the other build elsewhere"
        )
