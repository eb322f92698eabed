# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX does not tell, kept where it can be read: whether a survey was edited there, and whether a secret differs.

AWX shows no secret, and says of no survey who wrote it. So a short digest of what was handed over is kept in texts that
AWX shows: in the description of a survey, and in the description of a credential.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

# Of a question, what a definition says; whatever else AWX adds to it is no edit.
_KEYS = ("question_name", "question_description", "variable", "type", "required", "choices", "default", "min", "max")
_WRITTEN = re.compile(r"As playbooks/awx\.yml wrote it: ([0-9a-f]{16})")
_SECRET = re.compile(r" \(secret: [0-9a-f]{10}\)$")
_PROFILE, _PROFILES = "vllm_services_profile", "vllm_services_profiles"


def survey(
    questions: Sequence[Mapping[str, Any]], current: Mapping[str, Any], *, overwrite: bool = False
) -> dict[str, Any]:
    """Return the survey to hand over as ``spec``, and in ``kept`` the questions that were edited in AWX.

    ``current`` is what AWX has, {} for none. A survey that somebody edited there stays, unless ``overwrite``.
    """
    digest = _digest(questions)
    made = {"name": "", "description": f"As playbooks/awx.yml wrote it: {digest}", "spec": [*questions]}
    there = current.get("spec") or []
    written = _WRITTEN.fullmatch(str(current.get("description", "")))
    untouched = not there or _digest(there) in (digest, written and written[1])
    if untouched or overwrite:
        same = bool(there) and _digest(there) == digest and written is not None and written[1] == digest
        return {"spec": dict(current) if same else made, "kept": []}
    return {"spec": dict(current), "kept": _differing(questions, there)}


def _digest(questions: Sequence[Mapping[str, Any]]) -> str:
    stated = [{key: question[key] for key in _KEYS if question.get(key) is not None} for question in questions]
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def _differing(questions: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> list[str]:
    ours, theirs = ({question["variable"]: _digest([question]) for question in one} for one in (questions, there))
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return names or ["their order"]


def with_profiles(questions: Sequence[Mapping[str, Any]], variables: Sequence[str]) -> list[dict[str, Any]]:
    """Return the questions with the profiles to choose from that an inventory has.

    ``variables`` are those of its groups and hosts, as AWX keeps them, in JSON or YAML. Without any profile among them
    the questions stay as they are.
    """
    read = [_read(text) for text in variables]
    stated = [one[_PROFILES] for one in read if isinstance(one.get(_PROFILES), Mapping)]
    names = list(dict.fromkeys(str(name) for profiles in stated for name in profiles))
    chosen = [one[_PROFILE] for one in read if one.get(_PROFILE) in names]
    return [_offering(question, names, chosen) for question in questions]


def _offering(question: Mapping[str, Any], names: Sequence[str], chosen: Sequence[str]) -> dict[str, Any]:
    if question["variable"] != _PROFILE or not names:
        return dict(question)
    default = question["default"] if question["default"] in names else names[0]
    return {**question, "choices": [*names], "default": chosen[0] if chosen else default}


def _read(text: str) -> Mapping[str, Any]:
    try:
        read = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, Mapping) else {}


def credential(description: str, current: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """Return the ``description`` of a credential, and in ``differs`` whether its secret differs from the one in AWX.

    ``current`` is what AWX has, {} for none. Without a secret, all stays as it is. The digest in the description is
    short and slow to compute, so that it says little about a secret that is not guessed easily anyway.
    """
    there = str(current.get("description", ""))
    if not secret:
        return {"description": there or description, "differs": False}
    slow = hashlib.scrypt(secret.encode(), salt=description.encode(), n=1 << 14, r=8, p=1, dklen=5).hex()
    made = f"{_SECRET.sub('', description)} (secret: {slow})"
    return {"description": made, "differs": there != made}
