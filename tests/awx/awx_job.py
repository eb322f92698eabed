# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a job template the way AWX runs it: ansible-runner, on a private data directory of AWX's making.

What AWX does is taken from its source (awx/playbooks/project_update.yml, awx/main/tasks/jobs.py,
awx/main/utils/safe_yaml.py): the project is a copy of the checkout; its sync installs collections/requirements.yml
beside it; the inventory is a script that prints what was imported; answers of a survey are extra variables whose text
is marked as unsafe, names included; a custom credential adds a file of extra variables, its injectors filled in; and
the search path of collections starts with what the sync installed, then goes on as the project's ansible.cfg says.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import yaml
from ansible_collections.llmops.inference.tests.tools.environments import ROOT, copy_checkout
from jinja2.sandbox import ImmutableSandboxedEnvironment

DEFINITIONS = ROOT / "awx"
BIN = Path(sys.executable).parent


def definitions(name: str) -> dict[str, Any]:
    """Return one file of awx/."""
    content: dict[str, Any] = yaml.safe_load((DEFINITIONS / f"{name}.yml").read_text(encoding="utf-8"))
    return content


def named(kind: str, name: str) -> dict[str, Any]:
    """Return one of the "job_templates", "workflows" or so by its name."""
    file = "credentials" if kind == "credential_types" else kind
    (found,) = [item for item in definitions(file)[kind] if item["name"] == name]
    definition: dict[str, Any] = found
    return definition


def survey_of(workflow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the questions of a workflow: those of its job templates, the first of each variable."""
    questions: dict[str, dict[str, Any]] = {}
    for name in workflow["survey_of"]:
        for question in named("job_templates", name)["survey"]:
            questions.setdefault(question["variable"], question)
    return list(questions.values())


def filled_in(survey: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a form sends on which nobody changes anything; of several choices that is a list."""
    return {
        question["variable"]: question["default"].splitlines()
        if question["type"] == "multiselect"
        else question["default"]
        for question in survey
    }


class UnsafeText(yaml.SafeDumper):
    """Marks every text as AWX does, so that no answer is ever a template."""

    def represent_data(self, data: Any) -> yaml.Node:
        return self.represent_scalar("!unsafe", data) if isinstance(data, str) else super().represent_data(data)


@dataclass(frozen=True)
class Job:
    """A job that has ended."""

    status: str
    artifacts: Mapping[str, Any]
    output: str
    record: str  # everything that AWX would keep of its events


class Awx:
    """A project and an inventory, as a job finds them."""

    def __init__(self, directory: Path, inventory: Path, image: str | None = None) -> None:
        self.directory = directory
        self.image = image
        copy_checkout(directory / "project")
        for name in ("env", "home"):
            (directory / name).mkdir()
        self._sync_collections()
        self._take_inventory(inventory)

    def require(self, collection: str) -> None:
        """Provide a collection of the test hosts' own, as an execution environment would."""
        link = self.directory / "requirements_collections" / "ansible_collections" / collection
        link.parent.mkdir(parents=True)
        link.symlink_to(ROOT / ".venv" / "collections" / "ansible_collections" / collection)

    def launch(
        self,
        template: str,
        answers: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Mapping[str, str]] | None = None,
        prompted: Mapping[str, Any] | None = None,
        check: bool = False,
    ) -> Job:
        """Run a job template with answers beside the survey's defaults; inputs of credentials by their type's name."""
        definition = named("job_templates", template)
        survey = filled_in(definition["survey"])
        # AWX adds variables of its own to every job.
        own = {"awx_job_id": 1, "awx_job_template_name": template}
        extra = {**own, **definition.get("extra_vars", {}), **survey, **(answers or {}), **(prompted or {})}
        write_variables(self.directory / "env" / "extravars", extra)
        arguments = ["-u", "root"]
        for number, (kind, inputs) in enumerate((credentials or {}).items()):
            injected = self.directory / "env" / f"credential{number}"
            write_variables(injected, inject(kind, inputs))
            arguments += ["-e", f"@{self.within(str(injected))}"]
        arguments += ["--check"] if check else []
        arguments += ["--diff"] if definition.get("diff_mode") else []
        ran = ansible_runner.run(
            private_data_dir=str(self.directory),
            playbook=definition["playbook"],
            cmdline=" ".join(arguments),
            envvars=self._environment(),
            quiet=True,
            **self._isolation(),
        )
        events = list(ran.events)
        return Job(
            status=ran.status,
            artifacts=next(artifacts_of(events), {}),
            output=ran.stdout.read(),
            record=json.dumps(events),
        )

    def run_workflow(
        self,
        name: str,
        answers: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Mapping[str, str]] | None = None,
        approved: bool = True,
    ) -> dict[str, Job]:
        """Run a workflow from node to node; return the jobs by the identifiers of their nodes, in their order.

        As awx/main/models/workflow.py does it: a job gets what the jobs before it published, and over that the answers
        to the workflow's own survey.
        """
        workflow = named("workflows", name)
        nodes = {node["identifier"]: node for node in workflow["nodes"]}
        followers = {link["identifier"] for node in nodes.values() for link in links_of(node)}
        waiting = [identifier for identifier in nodes if identifier not in followers]
        asked = {**filled_in(survey_of(workflow)), **(answers or {})}
        published: dict[str, Any] = {}
        jobs: dict[str, Job] = {}
        while waiting:
            identifier = waiting.pop(0)
            unified = nodes[identifier]["unified_job_template"]
            succeeded = approved
            if unified["type"] == "job_template":
                job = jobs[identifier] = self.launch(unified["name"], {**published, **asked}, credentials)
                published.update(job.artifacts)
                succeeded = job.status == "successful"
            outcome = "success_nodes" if succeeded else "failure_nodes"
            waiting += [link["identifier"] for link in links_of(nodes[identifier], outcome, "always_nodes")]
        return jobs

    def within(self, paths: Any) -> Any:
        """Return paths below the private data directory as the job sees them, at any depth."""
        if isinstance(paths, Mapping):
            return {name: self.within(value) for name, value in paths.items()}
        return paths.replace(str(self.directory), "/runner") if self.image else paths

    def _isolation(self) -> dict[str, Any]:
        """Ask for a container of the execution environment, when there is one."""
        if self.image is None:
            return {}
        return {
            "process_isolation": True,
            "process_isolation_executable": "podman",
            "container_image": self.image,
            # As test hosts are: crun may raise no limit here, as its filter of devices would need.
            "container_options": ["--network=none", "--pull=never", "--privileged"],
        }

    def _sync_collections(self) -> None:
        requirements = str(self.directory / "requirements_collections")
        install = [str(BIN / "ansible-galaxy"), "collection", "install", "-r", "collections/requirements.yml"]
        subprocess.run(
            [*install, "--collections-path", requirements],
            cwd=self.directory / "project",
            env={**os.environ, "HOME": str(self.directory / "home"), "ANSIBLE_COLLECTIONS_PATH": requirements},
            check=True,
            capture_output=True,
        )

    def _take_inventory(self, inventory: Path) -> None:
        command = [str(BIN / "ansible-inventory"), "-i", str(inventory), "--list", "--export"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout
        script = self.directory / "inventory" / "hosts"
        script.parent.mkdir()
        script.write_text(f"#! /usr/bin/env python3\nprint({listed!r})\n", encoding="utf-8")
        script.chmod(0o700)

    def _environment(self) -> dict[str, str]:
        config = configparser.ConfigParser()
        config.read(self.directory / "project" / "ansible.cfg")
        collections = [
            self.within(str(self.directory / "requirements_collections")),
            config["defaults"]["collections_path"],
            "~/.ansible/collections:/usr/share/ansible/collections",
        ]
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(collections),
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_FORCE_COLOR": "False",
        }
        if self.image is None:  # then nothing of this machine's user takes part
            environment["HOME"] = str(self.directory / "home")
            environment["PYTHONPATH"] = ""
            environment["PATH"] = os.pathsep.join([str(BIN), os.environ["PATH"]])
        return environment


def workflow_status(workflow: Mapping[str, Any], statuses: Mapping[str, str]) -> str:
    """Return the status of a workflow whose nodes ended so; those that did not run are absent.

    The rule of awx/main/scheduler/dag_workflow.py: it has failed where a node failed that no link for a failure, nor
    one for any end, leads on from.
    """
    failed = [node for node in workflow["nodes"] if statuses.get(node["identifier"], "successful") != "successful"]
    unhandled = [node for node in failed if not links_of(node, "failure_nodes", "always_nodes")]
    return "failed" if unhandled else "successful"


def write_variables(path: Path, variables: Mapping[str, Any]) -> None:
    """Write a file of extra variables, each by itself and its name as unsafe as its value."""
    text = "".join(yaml.dump({name: value}, Dumper=UnsafeText) for name, value in variables.items())
    path.write_text(text, encoding="utf-8")


def inject(kind: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the extra variables that a credential type makes of a credential's inputs."""
    injectors = named("credential_types", kind)["injectors"]["extra_vars"]
    templates = ImmutableSandboxedEnvironment()
    return {name: templates.from_string(template).render(**inputs) for name, template in injectors.items()}


def links_of(node: Mapping[str, Any], *kinds: str) -> list[dict[str, Any]]:
    """Return the links of these kinds that lead from a node of a workflow; without any, all of them."""
    related = node.get("related", {})
    return [link for kind in kinds or related for link in related.get(kind, [])]


def artifacts_of(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what a job published for the next ones of its workflow."""
    for event in events:
        if event["event"] == "playbook_on_stats" and event["event_data"].get("artifact_data"):
            yield event["event_data"]["artifact_data"]
