# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which HAProxys the tests of the gateway's configuration run on, and why they do not where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.unit.roles.vllm_gateway.gateway_box import haproxys


@pytest.fixture(scope="module", params=haproxys() or [""], ids=lambda path: Path(path).name or "none")
def haproxy(request: pytest.FixtureRequest) -> str:
    """Return the path of a HAProxy."""
    if not request.param:
        pytest.skip("no HAProxy here: apt-get install haproxy, or name binaries in HAPROXY")
    if not (Path(sys.executable).parent / "ansible-playbook").exists():
        pytest.skip("no ansible-playbook beside this Python to render the configuration with")
    return str(request.param)
