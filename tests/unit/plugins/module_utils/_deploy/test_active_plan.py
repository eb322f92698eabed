# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user who may not read the deployed plan gets a new one."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.llmops.inference.plugins.module_utils._deploy.active_plan import plan_of_this_host
from ansible_collections.llmops.inference.plugins.module_utils._places import Paths


def test_a_record_that_cannot_be_read_is_no_active_plan(tmp_path: Path) -> None:
    paths = Paths(config_root=str(tmp_path))
    Path(paths.transaction).mkdir()
    assert plan_of_this_host("digest", paths) is None


def test_a_host_without_deployments_has_no_active_plan(tmp_path: Path) -> None:
    assert plan_of_this_host("digest", Paths(config_root=str(tmp_path))) is None
