# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that are installed on this host, as the role vllm_runtime recorded them."""

from __future__ import annotations

from pathlib import Path

from ._engine import Engine
from ._errors import InferenceError, NotInstalledError
from ._installed import ENGINE_RECORD, engine_record


def read_engine(root: str, version: str | None, accelerator: str) -> Engine:
    """Return the engine of a version below ``root`` (usually ``/opt/vllm``).

    Raises InferenceError where no version is stated, or it is not installed, not completely, or for another
    accelerator.
    """
    if version is None:
        raise InferenceError("engine_version has to be stated: which of several engines runs is no guess of ours")
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
    if record["accelerator"] != accelerator:
        raise InferenceError(
            f"{directory} holds the {record['accelerator']} build of vLLM {version}, and the layout asks for "
            f"{accelerator}; set the accelerator to {record['accelerator']}, or install the other build elsewhere"
        )
    return Engine(version, record["distribution"], accelerator, str(directory), frozenset(record["flags"]))
