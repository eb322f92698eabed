# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often hypothesis tries: enough to find a mistake in some runs, few enough for every run; and what runs where."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from hypothesis import settings

# Imports of tests of the controller's, the gateway's or the benchmarks' code, and of no test of a host's.
CONTROLLER_CODE = re.compile(
    r"^from ansible(\.(?!module_utils)"
    r"|_collections\.llmops\.inference\.plugins\.(action|filter|inventory|lookup|plugin_utils)"
    r"|_collections\.llmops\.inference\.tests\.bench)|^import lupa",
    re.MULTILINE,
)

# No deadline: the machine of a test run may be busy with others.
# The same tests once more, on another Python.
settings.register_profile("few", max_examples=4, deadline=None)
settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests of what runs on the controller where, as on a host, only Ansible's module_utils are there."""
    if collection_path.suffix != ".py" or importlib.util.find_spec("ansible.errors") is not None:
        return None
    return True if CONTROLLER_CODE.search(collection_path.read_text(encoding="utf-8")) else None
