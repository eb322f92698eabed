# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often hypothesis tries: enough to find a mistake in some runs, few enough for every run; and what runs where."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from hypothesis import settings

# They import filters, which import Ansible's own errors.
CONTROLLER_TESTS = ("test_plan_page.py",)

# No deadline: the machine of a test run may be busy with others.
settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests of what runs on the controller where, as on a host, only Ansible's module_utils are there."""
    on_a_host = importlib.util.find_spec("ansible.errors") is None
    return True if on_a_host and collection_path.name in CONTROLLER_TESTS else None
