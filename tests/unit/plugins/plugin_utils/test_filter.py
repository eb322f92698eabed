# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper of all filters: the function is there, its options are documented, and its errors are Ansible's."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter import plan_table
from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

PACKAGE = plan_table.__name__.rpartition(".")[0]
# These still hold their own imports.
OWN = {
    "awx_credential",
    "awx_survey",
    "objective_problems",
    "plan_html",
    "plan_table",
    "release_end",
    "report_html",
    "report_junit",
    "report_table",
    "survey_answer",
    "with_geometry",
}
FILTERS = sorted({file.stem for file in Path(plan_table.__file__).parent.glob("[!_]*.py")} - OWN)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_takes_the_options_that_its_documentation_names(name: str) -> None:
    module = import_module(f"{PACKAGE}.{name}")
    found = module.FilterModule().filters()
    assert list(found) == [name]
    documented = list(yaml.safe_load(module.DOCUMENTATION)["options"])
    parameters = list(inspect.signature(found[name].target()).parameters.values())
    named = [one.name for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD]
    assert documented[0] == "_input"
    if len(named) == len(parameters):
        assert named[1:] == documented[1:]
    else:
        assert named[1:] == documented[1 : len(named)], "further options are settings"


def test_an_error_of_the_collection_is_an_error_of_the_filter() -> None:
    with pytest.raises(AnsibleFilterError, match="No service of the layout is called maxi; it has mini"):
        lazy("_fleet.layout", "changed_layout")([{"name": "mini"}], {"maxi": {"port": 1}})


def test_a_defect_is_not_told_as_an_error_of_the_user() -> None:
    with pytest.raises(TypeError):
        lazy("_fleet.layout", "changed_layout")([{"name": "mini"}])
