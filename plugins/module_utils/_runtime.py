# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that are installed on this host, as the role vllm_runtime recorded them."""

from __future__ import annotations

import json
from pathlib import Path

from ._engine import Engine
from ._errors import InferenceError, NotInstalledError

RECORD = "engine.json"


def read_engine(root: str, version: str | None, accelerator: str) -> Engine:
    """Return the engine of a version below ``root`` (usually ``/opt/vllm``).

    Raises InferenceError where no version is stated, or it is not installed, not completely, or for another
    accelerator.
    """
    if version is None:
        raise InferenceError("engine_version has to be stated: which of several engines runs is no guess of ours")
    directory = Path(root) / version
    try:
        record = json.loads((directory / RECORD).read_text())
    except (OSError, ValueError) as error:
        others = sorted(path.parent.name for path in Path(root).glob(f"*/{RECORD}"))
        raise NotInstalledError(
            f"vLLM {version} is not installed below {root} (installed: {', '.join(others) or 'none'}); run the role "
            "llmops.inference.vllm_runtime for this version, or choose an installed one"
        ) from error
    if record["accelerator"] != accelerator:
        raise InferenceError(
            f"{directory} holds the {record['accelerator']} build of vLLM {version}, and the layout asks for "
            f"{accelerator}; set the accelerator to {record['accelerator']}, or install the other build elsewhere"
        )
    return Engine(
        version, record["distribution"], accelerator, str(directory), frozenset(record["flags"]), record.get("ray")
    )
