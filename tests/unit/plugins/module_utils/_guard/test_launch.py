# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way into a container: variables come out of files, and one that only root may read comes as an open file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils import _environment_file
from ansible_collections.llmops.inference.plugins.module_utils._deploy.programs import sources

ODD = 'say "hi" \\ to $HOME and \\"'
SHOW = "import os; print(dict(os.environ), os.listdir('/proc/self/fd'))"


@pytest.fixture
def generation(tmp_path: Path) -> Path:
    """A generation with one service, as far as a container sees it."""
    for name, text in sources().items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "services/mini").mkdir(parents=True)
    (tmp_path / "services/mini/environment").write_text(_environment_file.to_text({"HOME": "/home", "ODD": ODD}))
    return tmp_path


def launched(generation: Path, secrets: int | None = None) -> str:
    """What a command sees that is launched as systemd and podman launch it."""
    environment = {"PATH": os.environ["PATH"]}
    keep: tuple[int, ...] = ()
    if secrets is not None:
        os.dup2(secrets, 3)
        keep = (3,)
        environment.update({"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "secrets"})
    command = [sys.executable, "-B", str(generation / "lib/vllm_launch"), "mini", sys.executable, "-c", SHOW]
    done = subprocess.run(command, env=environment, pass_fds=keep, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_engine_has_the_variables_of_the_services_file(generation: Path) -> None:
    seen = launched(generation)
    assert "'HOME': '/home'" in seen
    assert f"'ODD': {ODD!r}" in seen


def test_secrets_come_by_an_open_file_of_which_nothing_is_left(generation: Path, tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text(_environment_file.to_text({"VLLM_API_KEY": "canary"}))
    with path.open() as file:
        path.unlink()  # it can be read by nobody else any more
        seen = launched(generation, file.fileno())
    assert "'VLLM_API_KEY': 'canary'" in seen
    assert "LISTEN" not in seen
    assert "'3'" not in seen.partition("} ")[2].replace("'3']", ""), "the one file open is the listing itself"


def test_an_engine_whose_secrets_do_not_come_is_not_started(generation: Path) -> None:
    (generation / "services/mini/secrets").touch()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        launched(generation)
    assert "the secrets were not handed over; OpenFile= takes systemd 253" in refused.value.stderr


@pytest.mark.parametrize("value", ["", "plain", ODD, '"', "\\", '\\"', '\\\\"', "a=b"])
def test_what_is_written_for_systemd_is_read_as_it_was(value: str) -> None:
    assert _environment_file.from_text(_environment_file.to_text({"A": value, "B": "x"})) == {"A": value, "B": "x"}
