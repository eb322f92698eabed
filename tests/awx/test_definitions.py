# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What awx/*.yml and playbooks/awx.yml say, held against this checkout and against the modules of awx.awx.

No AWX takes part: that it accepts these objects is not shown here. By test_objects.py the modules make them.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.scenarios import OVERRIDES, SCENARIOS
from ansible_collections.llmops.inference.plugins.plugin_utils._report.objectives import parse_objectives
from ansible_collections.llmops.inference.tests.awx.awx_job import (
    DEFINITIONS,
    definitions,
    filled_in,
    links_of,
    survey_of,
    workflow_status,
)
from ansible_collections.llmops.inference.tests.tools.environments import ROOT

SCHEMA = json.loads((DEFINITIONS / "schema.json").read_text(encoding="utf-8"))
FILES = sorted(path.stem for path in DEFINITIONS.glob("*.yml"))
TEMPLATES = {item["name"]: item for item in definitions("job_templates")["job_templates"]}
WORKFLOWS = definitions("workflows")["workflows"]
TASKS = yaml.safe_load((ROOT / "playbooks" / "tasks" / "awx_objects.yml").read_text(encoding="utf-8"))
MODULES = ROOT / ".venv" / "collections" / "ansible_collections" / "awx" / "awx" / "plugins"
# Variables that are a playbook's own and no role's.
OF_PLAYBOOKS = {"vllm_hosts", "vllm_plan_html", "vllm_serial", "vllm_site_floor"}
# Lists and dicts are asked for as text; playbooks/tasks/survey_answers.yml takes it.
AS_TEXT = "survey_"
QUESTIONS = definitions("job_templates")["questions"]


def schema_of(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"})


def role_variables() -> dict[str, Any]:
    """Return every variable of the roles, with its default."""
    variables: dict[str, Any] = {}
    for path in (ROOT / "roles").glob("*/defaults/main.yml"):
        variables.update(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    return variables


def role_options() -> dict[str, Any]:
    """Return every variable of the roles, with its specification."""
    specifications = [yaml.safe_load(path.read_text()) for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")]
    return {key: option for spec in specifications for key, option in spec["argument_specs"]["main"]["options"].items()}


def pickable(playbook: str) -> bool:
    """Whether AWX offers a file of a project as a playbook; the rule of awx/main/utils/ansible.py, older form."""
    path = Path(playbook)
    hidden = {"roles", "tasks", "group_vars", "host_vars"} & set(path.parts) or any(
        part.startswith(".") for part in path.parts
    )
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines() if (ROOT / path).is_file() else []
    plays = any(re.match(r"^\s*?-?\s*?(?:hosts|include|import_playbook):\s*?.*?$", line) for line in lines)
    return path.suffix in {".yml", ".yaml"} and not hidden and plays


def test_every_file_has_its_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(FILES) <= SCHEMA["$defs"].keys()


@pytest.mark.parametrize("name", FILES)
def test_the_definitions_are_as_the_schema_says(name: str) -> None:
    problems = [f"{error.json_path}: {error.message}" for error in schema_of(name).iter_errors(definitions(name))]
    assert not problems


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("job_templates", lambda content: content["job_templates"][0].pop("playbook")),
        ("job_templates", lambda content: content["job_templates"][0].update(surveys=[])),
        ("job_templates", lambda content: content["questions"]["profile"].pop("choices")),
        ("job_templates", lambda content: content["questions"]["hosts"].update(default=8)),
        ("credentials", lambda content: content["credential_types"][0]["injectors"].update(environment={"A": "b"})),
        ("workflows", lambda content: content["workflows"][0]["nodes"][0]["unified_job_template"].pop("type")),
        ("base", lambda content: content["project"].update(scm_url="git@example.com:a/b.git")),
    ],
)
def test_a_mistake_in_a_definition_is_found(name: str, spoil: Any) -> None:
    content = copy.deepcopy(definitions(name))
    spoil(content)
    assert not schema_of(name).is_valid(content)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_playbook_of_a_job_template_is_there_and_can_be_picked(template: str) -> None:
    assert pickable(TEMPLATES[template]["playbook"])


def test_a_playbook_that_is_not_there_cannot_be_picked() -> None:
    assert not pickable("playbooks/does_not_exist.yml")
    assert not pickable("roles/vllm_services/tasks/main.yml")


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_job_template_sets_is_a_variable_that_somebody_reads(template: str) -> None:
    asked = {question["variable"].removeprefix(AS_TEXT) for question in TEMPLATES[template]["survey"]}
    assert asked | TEMPLATES[template].get("extra_vars", {}).keys() <= role_variables().keys() | OF_PLAYBOOKS


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_offers_what_the_role_takes_and_begins_with_its_default(name: str) -> None:
    question, defaults = QUESTIONS[name], role_variables()
    variable = question["variable"].removeprefix(AS_TEXT)
    (begins_with,) = filled_in([question]).values()
    if variable != question["variable"]:
        # Left empty, what the inventory says holds.
        assert yaml.safe_load(begins_with) in (None, defaults[variable])
    elif variable in defaults:
        assert begins_with in (defaults[variable], str(defaults[variable]).lower())
    if "choices" in question:
        assert {question["default"]} <= set(question["choices"])
    choices = role_options().get(variable, {}).get("choices")
    if choices:
        assert sorted(question["choices"]) == sorted(choices)


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_a_role_takes_as_a_list_or_a_dict_is_chosen_or_asked_for_as_text(name: str) -> None:
    question = QUESTIONS[name]
    kind = role_options().get(question["variable"].removeprefix(AS_TEXT), {}).get("type")
    as_text = question["variable"].startswith(AS_TEXT)
    assert as_text == (kind in {"list", "dict", "raw"} and question["type"] != "multiselect")
    assert not as_text or question["type"] == "textarea"


def test_the_scenarios_to_choose_from_are_those_of_the_load_generator() -> None:
    for name in ("scenarios", "experiment_scenarios"):
        assert QUESTIONS[name]["choices"] == list(SCENARIOS)


def examples() -> dict[str, tuple[str, Any]]:
    """Return the variable and the example of each question whose description ends with one."""
    found = {name: re.search(r": ([\[{].*)$", question["question_description"]) for name, question in QUESTIONS.items()}
    return {name: (QUESTIONS[name]["variable"], json.loads(match[1])) for name, match in found.items() if match}


def test_the_examples_in_questions_are_what_the_roles_take() -> None:
    given = examples()
    assert given.keys() == {"objectives", "experiment_objectives", "loads", "space"}
    for name in ("objectives", "experiment_objectives"):
        assert len(parse_objectives(given[name][1])) == 1
    for scenario, load in given["loads"][1].items():
        assert scenario in SCENARIOS
        assert load.keys() <= set(OVERRIDES)
    assert given["space"][1].keys() == {"mini"}


def test_the_profiles_to_choose_from_are_those_of_the_reference_box() -> None:
    layout = yaml.safe_load((ROOT / "inventories/reference/group_vars/vllm.yml").read_text(encoding="utf-8"))
    question = QUESTIONS["profile"]
    assert sorted(question["choices"]) == sorted(layout["vllm_services_profiles"])
    assert question["default"] == layout["vllm_services_profile"]


def test_the_inventory_is_in_the_project() -> None:
    assert (ROOT / definitions("base")["inventory"]["source"]["source_path"]).is_file()


def test_credentials_are_of_types_that_exist_and_injectors_use_inputs_that_exist() -> None:
    content = definitions("credentials")
    inputs = {"Machine": {"username", "ssh_key_data"}}
    for kind in content["credential_types"]:
        inputs[kind["name"]] = {field["id"] for field in kind["inputs"]["fields"]}
        used = {
            name
            for section in kind["injectors"].values()
            for template in section.values()
            for name in re.findall(r"\{\{ *(\w+)", template)
        }
        assert used == inputs[kind["name"]]
        assert all(field["secret"] for field in kind["inputs"]["fields"])
    for credential in content["credentials"]:
        assert {*credential["secret"], *credential.get("inputs", {})} <= inputs[credential["credential_type"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow["name"])
def test_a_workflow_is_of_job_templates_that_exist_and_reaches_every_node_once(workflow: dict[str, Any]) -> None:
    nodes = {node["identifier"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"])
    assert set(workflow["survey_of"]) <= TEMPLATES.keys()
    assert len(survey_of(workflow)) == len({question["question_name"] for question in survey_of(workflow)})
    for node in nodes.values():
        job = node["unified_job_template"]
        assert job["type"] == "workflow_approval" or job["name"] in TEMPLATES
    followers = {name: [link["identifier"] for link in links_of(node)] for name, node in nodes.items()}
    reached = [name for names in followers.values() for name in names]
    (first,) = nodes.keys() - set(reached)
    seen, waiting = set(), [first]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting += [follower for follower in followers[name] if follower not in seen]
    assert seen == nodes.keys()


def test_nothing_is_deployed_that_nobody_has_approved() -> None:
    for workflow in WORKFLOWS:
        nodes = {node["identifier"]: node for node in workflow["nodes"]}
        before = {
            link["identifier"]: node["unified_job_template"]["type"]
            for node in nodes.values()
            for link in links_of(node, "success_nodes")
        }
        deploys = [name for name, node in nodes.items() if node["unified_job_template"]["name"] == "vLLM deploy"]
        assert [before[name] for name in deploys] == ["workflow_approval"]


def endings(workflow: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the statuses of the nodes that run, for every way in which each of them may end.

    The playbook of one job template always fails, which a test of its own shows.
    """
    nodes = {node["identifier"]: node for node in workflow["nodes"]}
    first = nodes.keys() - {link["identifier"] for node in nodes.values() for link in links_of(node)}

    def ways(waiting: list[str], ended: dict[str, str]) -> Iterator[dict[str, str]]:
        if not waiting:
            yield ended
            return
        name, *rest = waiting
        fails = nodes[name]["unified_job_template"]["name"] == "vLLM release failed"
        for status, kind in (("failed", "failure_nodes"), *([] if fails else [("successful", "success_nodes")])):
            follow = [link["identifier"] for link in links_of(nodes[name], kind, "always_nodes")]
            yield from ways(rest + [item for item in follow if item not in ended], {**ended, name: status})

    return list(ways(sorted(first), {}))


RELEASE = next(workflow for workflow in WORKFLOWS if workflow["name"] == "vLLM release")


def test_only_a_release_in_which_every_job_succeeded_is_green() -> None:
    green = [ended for ended in endings(RELEASE) if workflow_status(RELEASE, ended) == "successful"]
    assert green == [dict.fromkeys(("plan", "approval", "deploy", "validate"), "successful")]


def test_no_path_from_a_failed_deployment_or_validation_ends_green() -> None:
    failed = [ended for ended in endings(RELEASE) if "failed" in (ended.get("deploy"), ended.get("validate"))]
    assert len(failed) == 5, "a rollback after either that succeeds or fails, and a release that stays"
    assert {workflow_status(RELEASE, ended) for ended in failed} == {"failed"}
    assert all(ended.keys() & {"undone", "not_judged"} for ended in failed), "the end says why"


def test_nothing_is_undone_but_what_failed_to_deploy_or_misses_an_objective() -> None:
    for ended in endings(RELEASE):
        undone = ended.get("deploy") == "failed" or ended.get("verdict") == "failed"
        assert ("rollback" in ended) is undone
        assert ("not_judged" in ended) is (ended.get("verdict") == "successful")


@pytest.mark.parametrize(
    ("node", "links"),
    [
        ("rollback", {}),  # as it was: deploy and rollback well, and the workflow green
        ("verdict", {"failure_nodes": [{"identifier": "rollback"}]}),
        ("validate", {"always_nodes": [{"identifier": "verdict"}]}),
    ],
)
def test_a_workflow_that_ends_green_after_a_failure_would_be_found(node: str, links: dict[str, Any]) -> None:
    spoilt = copy.deepcopy(RELEASE)
    (found,) = [item for item in spoilt["nodes"] if item["identifier"] == node]
    found["related"] = links
    green = [ended for ended in endings(spoilt) if workflow_status(spoilt, ended) == "successful"]
    assert [ended for ended in green if "failed" in ended.values()] or len(green) != 1


def test_jobs_without_hosts_ask_for_no_hosts() -> None:
    """With a limit to some host they would run nowhere, which is a success."""
    for name, template in TEMPLATES.items():
        (play, *_rest) = yaml.safe_load((ROOT / template["playbook"]).read_text(encoding="utf-8"))
        assert template.get("prompts", True) is (play.get("hosts") != "localhost"), name


def documentation(path: Path) -> dict[str, Any]:
    """Return the DOCUMENTATION of a plugin file, without importing it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            documented: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return documented
    raise AssertionError(f"{path} documents nothing")


def module_options(name: str) -> dict[str, Any]:
    """Return the documented options of a module of awx.awx."""
    document = documentation(MODULES / "modules" / f"{name}.py")
    assert document["extends_documentation_fragment"] == "awx.awx.auth"
    fragment = documentation(MODULES / "doc_fragments" / "auth.py")
    return {**document["options"], **fragment["options"]}


def unknown(arguments: Mapping[str, Any], options: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what is in arguments and in no option, at any depth."""
    for name, value in arguments.items():
        option = options.get(name)
        if option is None:
            yield f"{where}{name}"
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping) and "suboptions" in option:
                yield from unknown(item, option["suboptions"], f"{where}{name}.")


def tasks() -> list[tuple[str, str, dict[str, Any]]]:
    """Return the name, the module and the arguments of each object's task."""
    found = []
    for task in TASKS:
        for module in (key for key in task if key.startswith("awx.awx.")):
            found.append((task["name"], module.removeprefix("awx.awx."), task[module]))
    return found


@pytest.mark.parametrize(
    ("task", "module", "arguments"), tasks(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_task_gives_its_module_only_documented_options(task: str, module: str, arguments: dict[str, Any]) -> None:
    assert not list(unknown(arguments, module_options(module), ""))


def test_the_nodes_of_workflows_have_only_documented_options() -> None:
    nodes = module_options("workflow_job_template")["workflow_nodes"]["suboptions"]
    for workflow in WORKFLOWS:
        for node in workflow["nodes"]:
            assert not list(unknown(node, nodes, ""))
