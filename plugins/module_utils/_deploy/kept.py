# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generations that a host keeps: what each is, and whether it can become active again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from .._engine.installed import ENGINE_RECORD, is_ours
from .._errors import InferenceError
from .._generation.files import File, tickets
from .._generation.needs import Needs
from .._generation.store import GenerationStore
from .._generation.transaction import Transaction
from .._places import NEEDS_FILE

# Whether an image, by its id, is on the host.
HasImage = Callable[[str], bool]


def describe_generations(
    store: GenerationStore, open_transaction: Transaction | None, has_image: HasImage
) -> list[dict[str, Any]]:
    """Every generation, oldest first, as vllm_deployment_info returns it."""
    return [_describe_one(store, number, open_transaction, has_image) for number in store.numbers()]


def _describe_one(
    store: GenerationStore, number: int, open_transaction: Transaction | None, has_image: HasImage
) -> dict[str, Any]:
    files, manifest, damage = store.read(number), store.manifest(number), store.damage(number)
    needs = _needs(files)
    unproven = open_transaction is not None and open_transaction.new and open_transaction.after == number
    return {
        "number": number,
        "made": manifest.made if manifest else None,
        "replaces": manifest.replaces if manifest else None,
        "engine_version": needs.engine_version if needs else None,
        "programs": list(needs.programs) if needs else [],
        "image": needs.image if needs else None,
        "models": sorted(needs.models) if needs else [],
        "services": sorted(tickets(files)),
        "in_force": number == store.current(),
        "served": not unproven,
        "intact": not damage,
        "problem": _damage_text(damage) or _needs_problem(needs, has_image),
    }


def choose_generation(store: GenerationStore, wanted: int | None, base: int | None) -> int:
    """The generation to return to: the one that is ``wanted``, else the one that served before ``base``.

    ``base`` is active. Where newer ones than it are kept, the host was returned already, and it is the answer: to run
    twice is to return once. Raises InferenceError where there is none.
    """
    numbers = store.numbers()
    if wanted is not None and wanted in numbers:
        return wanted
    kept = ", ".join(str(number) for number in numbers) or "none"
    if wanted is not None:
        raise InferenceError(f"generation {wanted} is not kept on this host; those that are: {kept}")
    if base is not None and base != numbers[-1]:
        return base
    manifest = store.manifest(base) if base is not None else None
    before = manifest.replaces if manifest else None
    older = [number for number in numbers if base is not None and number < base]
    if before not in older and not older:
        raise InferenceError(f"there is no generation to return to (kept: {kept}, active: {base or 'none'})")
    return before if before is not None and before in older else older[-1]


def refuse_unusable(store: GenerationStore, number: int, has_image: HasImage) -> None:
    """Raise InferenceError naming what keeps a generation from becoming active again, and the way out."""
    damage = store.damage(number)
    if damage:
        raise InferenceError(
            f"generation {number} is not as it was written, and nothing was changed: {_damage_text(damage)}; choose "
            "another generation, or deploy the layout anew with state: present",
            damage=damage,
        )
    problem = _needs_problem(_needs(store.read(number)), has_image)
    if problem:
        raise InferenceError(
            f"generation {number} cannot serve, and nothing was changed: {problem}; or choose another generation"
        )


def engines(store: GenerationStore, root: str) -> set[str]:
    """The directories below ``root`` whose engines the generations run, those aside that the role has not made."""
    needs = [_needs(store.read(number)) for number in store.numbers()]
    trees = {Path(program).parents[1] for found in needs if found for program in found.programs}
    return {
        str(tree) for tree in trees if tree.parent == Path(root) and (tree / ENGINE_RECORD).exists() and is_ours(tree)
    }


def images(store: GenerationStore) -> set[str]:
    """The images that the generations run their engines from, by id."""
    needs = [_needs(store.read(number)) for number in store.numbers()]
    return {found.image for found in needs if found and found.image}


def _damage_text(damage: Mapping[str, str]) -> str | None:
    return ", ".join(f"{name} {problem}" for name, problem in damage.items()) or None


def _needs(files: Mapping[str, File]) -> Needs | None:
    try:
        return Needs.from_json(files[NEEDS_FILE].text) if NEEDS_FILE in files else None
    except InferenceError:
        return None


def _needs_problem(needs: Needs | None, has_image: HasImage) -> str | None:
    return needs.problem(has_image) if needs else f"it does not say what it needs ({NEEDS_FILE})"
