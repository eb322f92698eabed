# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads configuration files with the engine's own parser and prints what it made of them, as JSON by file.

Run by the interpreter of the engine's virtual environment.
"""

from __future__ import annotations

import argparse
import json
import sys

import vllm
from vllm.entrypoints.cli import serve
from vllm.utils.argparse_utils import FlexibleArgumentParser


def parsed(path: str) -> dict[str, object]:
    """What `vllm serve --config PATH` would start with."""
    parser = FlexibleArgumentParser()
    (command,) = serve.cmd_init()
    command.subparser_init(parser.add_subparsers(dest="subparser"))
    arguments: argparse.Namespace = parser.parse_args(["serve", "--config", path])
    command.validate(arguments)
    engine = vllm.AsyncEngineArgs.from_cli_args(arguments)
    return {**vars(arguments), **vars(engine)}


json.dump({path: parsed(path) for path in sys.argv[1:]}, sys.stdout, default=str)
