# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes engine.json: which engine this is, and every long flag of its `vllm serve`, asked of its own parser.

Arguments: the file to write, the distribution that holds the engine, the accelerator it is built for; the id of the
image that it is in, if it is in one; and --adopted for an engine that was there before the role. Run by the interpreter
of the engine's virtual environment, or of the image.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

# Said of an engine that the role did not install, and that it therefore never deletes.
ADOPTED = "--adopted"
# The classes of transformers that its models are made of.
MODEL_CLASSES = ("Model", "ForCausalLM", "ForConditionalGeneration", "ForImageTextToText", "ForSequenceClassification")


def serve_flags() -> tuple[list[str], list[str]]:
    """Return the long flags of `vllm serve` without their dashes, sorted, and those of them that take a number."""
    from vllm import platforms  # noqa: PLC0415  (seconds of imports that --help need not wait for)

    if platforms.current_platform.is_unspecified():
        # A GPU host whose driver is not there yet: the flags are the same.
        from vllm.platforms.cpu import CpuPlatform  # noqa: PLC0415  (as above)

        platforms.current_platform = CpuPlatform()

    from vllm.entrypoints.cli import serve  # noqa: PLC0415

    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415
    except ImportError:  # before 0.12
        from vllm.utils import FlexibleArgumentParser  # noqa: PLC0415

    commands = FlexibleArgumentParser().add_subparsers()
    (parser,) = [command.subparser_init(commands) for command in serve.cmd_init()]
    flags = {option[2:]: action for action in parser._actions for option in action.option_strings if option[:2] == "--"}
    return sorted(flags), sorted(flag for flag, action in flags.items() if takes_number(action))


def architectures() -> list[str]:
    """Return the model classes that this engine runs: its own, and those that it takes from transformers, sorted.

    Empty where the engine does not tell; nothing is then refused for its architecture.
    """
    try:
        import transformers  # noqa: PLC0415  (as above)
        from vllm.model_executor.models import ModelRegistry  # noqa: PLC0415

        own = set(ModelRegistry.get_supported_archs())
    except Exception:
        return []  # another engine's words, which may fail in any way
    return sorted(own | {name for name in dir(transformers) if name.endswith(MODEL_CLASSES)})


def takes_number(action: argparse.Action) -> bool:
    """Tell whether an option reads one number, and no object or list of them, by trying."""
    if not callable(action.type) or action.nargs is not None:
        return False
    try:
        read = action.type("1")
    except Exception:
        return False  # a parser of the engine's own, which may raise anything
    try:
        action.type("{}")
    except Exception:
        return type(read) in (int, float)
    return False  # JSON


def read_from(distribution: str) -> dict[str, str]:
    """Return the digest of the list of the distribution's files, by its path below the virtual environment.

    As long as it is the same, so is the engine.
    """
    if installed(distribution) is None:
        sys.exit(f"{sys.prefix} has no distribution {distribution}, so that no engine can be recorded")
    # Found by its place: that list must be no list that Python can read, it must only be the same.
    found = importlib.metadata.distribution(distribution)
    name = f"{distribution.replace('-', '_')}-{found.version}.dist-info"
    record = Path(str(found.locate_file(name))).resolve() / "RECORD"
    digest = hashlib.sha256(record.read_bytes()).hexdigest()
    return {str(record.relative_to(Path(sys.prefix).resolve())): digest}


def installed(distribution: str) -> str | None:
    """Return the version of a distribution beside the engine; None without."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def in_image(image: str, distribution: str) -> dict[str, str]:
    """Return what an engine in an image says of itself, whose maker chose distribution and accelerator."""
    from vllm import platforms  # noqa: PLC0415  (as above)

    if installed(distribution) is None:
        distribution = "vllm"  # also for the CPU, in the images that its project makes
    accelerator = "cpu" if platforms.current_platform.is_cpu() else "cuda"
    return {"accelerator": accelerator, "distribution": distribution, "image": image}


def main() -> None:
    """Describe the engine and write the file in one step, so that it is there whole or not at all."""
    arguments = [argument for argument in sys.argv[1:] if argument != ADOPTED]
    destination, distribution, accelerator, *image = arguments
    if image:
        description: dict[str, Any] = in_image(image[0], distribution)
    else:
        description = {
            "accelerator": accelerator,
            "distribution": distribution,
            "read_from": read_from(distribution),
            "adopted": ADOPTED in sys.argv,
        }
    if ADOPTED in sys.argv:
        description["ray"] = installed("ray")
    description["flags"], description["numbers"] = serve_flags()
    description["architectures"] = architectures()
    description["python"] = platform.python_version()
    description["version"] = importlib.metadata.version(description["distribution"])
    temporary = destination + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(description, file, indent=1, sort_keys=True)
        file.write("\n")
    os.chmod(temporary, 0o644)
    os.replace(temporary, destination)


if __name__ == "__main__":
    main()
