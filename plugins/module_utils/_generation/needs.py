# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a generation needs of the host beside its own files: programs and models, and whether they are there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from .._errors import InferenceError
from .._model.checkpoint import read_fingerprint


@dataclass(frozen=True)
class Needs:
    """Paths of ``programs``, and ``models``: directory -> fingerprint of its files, None where it has none.

    ``image`` is the id of the image that the engine runs from, None where it is among the programs. A generation
    carries it as ``needs.json``.
    """

    engine_version: str
    programs: tuple[str, ...]
    models: Mapping[str, str | None]
    image: str | None = None

    def to_json(self) -> str:
        """The needs as a text of the generation."""
        return json.dumps({**vars(self), "programs": list(self.programs)}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Needs:
        """The needs written by ``to_json``; InferenceError for anything else."""
        try:
            values: dict[str, Any] = json.loads(text)
            engine, programs = str(values["engine_version"]), tuple(values["programs"])
            return cls(engine, programs, dict(values["models"]), values.get("image"))
        except (ValueError, KeyError, TypeError) as error:
            raise InferenceError(f"needs.json cannot be read ({type(error).__name__}: {error})") from error

    def problem(self, has_image: Callable[[str], bool]) -> str | None:
        """The first thing that is not there as it was, with the way out; None where everything is."""
        if self.image and not has_image(self.image):
            return (
                f"the image {self.image} is gone; bring vLLM {self.engine_version} back with the role "
                "llmops.inference.vllm_runtime and the vllm_runtime_image of then"
            )
        for program in self.programs:
            if not os.access(program, os.X_OK):
                return (
                    f"{program} is gone or cannot be executed; install vLLM {self.engine_version} again with the role "
                    "llmops.inference.vllm_runtime"
                )
        for model, fingerprint in self.models.items():
            problem = _model_problem(model, fingerprint)
            if problem:
                return problem
        return None


def _model_problem(model: str, fingerprint: str | None) -> str | None:
    if not Path(model).is_dir():
        return f"{model} is gone; bring the model back there"
    if fingerprint is None:
        return None
    try:
        found = read_fingerprint(model)
    except InferenceError as error:
        return str(error)
    if found != fingerprint:
        return (
            f"the files in {model} are not those that it was planned for; bring these back there, or deploy the "
            "present ones with state: present"
        )
    return None
