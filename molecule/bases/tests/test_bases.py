# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts are what they are said to be, and nothing was left on them."""

from __future__ import annotations

import pytest
from testinfra import get_host
from testinfra.host import Host

# Python and systemd of each, as its Debian has them.
BASES = {"bullseye": ("3.9.", 247), "trixie": ("3.13.", 257)}


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> tuple[Host, str, int]:
    python, systemd = BASES[request.param]
    return get_host(f"podman://bases-{request.param}"), python, systemd


def test_the_modules_ran_on_this_debians_own_python_and_systemd(base: tuple[Host, str, int]) -> None:
    host, python, systemd = base
    assert host.check_output("/usr/bin/python3 --version").startswith(f"Python {python}")
    assert int(host.check_output("systemctl --version").split()[1]) == systemd


def test_looking_planning_and_foretelling_left_nothing(base: tuple[Host, str, int]) -> None:
    host, _python, _systemd = base
    for path in ("/etc/vllm", "/var/lib/vllm", "/opt/vllm"):
        assert not host.file(path).exists, path
    # With nothing to list its exit status says so.
    assert host.run("systemctl list-unit-files --no-legend 'vllm*'").stdout == ""
