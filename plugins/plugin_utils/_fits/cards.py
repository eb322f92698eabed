# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the words of a user, such as "2 x RTX 4090, 1 x RTX 3090", to cards. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._values import GIB, MIB, shown

from .card_table import CARDS, Card

MOST_CARDS = 64  # as many as a tensor-parallel group has ranks
MOST_TEXT = 1000  # characters

_SEPARATOR = re.compile(r"\s*(?:,|\+|;|\band\b)\s*")
_COUNT_BEFORE = re.compile(r"(\d{1,3}\s*[x×*]|\d{1,2}\s)\s*(\S.*)")
_COUNT_AFTER = re.compile(r"(\S.*?)\s*[x×*]\s*(\d{1,3})")
_FILLER = re.compile(r"\b(nvidia|geforce|tesla|quadro|generation|edition|workstation|gpus?|cards?)\b")
_MEMORY = re.compile(r"\b(\d+)\s*gi?b\b", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(MiB|GiB|B)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "mib": MIB, "gib": GIB}

WAY_OUT = "For another card, add gpu_memory, its memory as nvidia-smi shows it, such as gpu_memory=24564MiB."


def parse_cards(text: object, memory: object = None) -> tuple[Card, ...]:
    """Return the cards that ``text`` names, each as often as it says.

    With ``memory``, a size in bytes or such as "24564MiB", every card has that memory and may have any name.
    Raises InferenceError for a name that no card or several cards have; it names the nearest.
    """
    words = str(text).strip() if isinstance(text, (str, int)) and not isinstance(text, bool) else ""
    stated = None if memory in (None, "") else parse_size(memory, "gpu_memory")
    if not words or len(words) > MOST_TEXT:
        raise InferenceError(f"gpu must name cards, such as '2 x RTX 4090', not {shown(text)}.")
    cards: list[Card] = []
    for part in _SEPARATOR.split(words):
        count, card = _counted(part, stated)
        if not 1 <= count <= MOST_CARDS - len(cards):
            raise InferenceError(f"gpu: {shown(part)}: from 1 to {MOST_CARDS} cards of one host can be planned.")
        cards += [card] * count
    return tuple(cards)


def parse_size(value: object, key: str) -> int:
    """Return a size in bytes from a number of bytes, or from text such as "24564MiB" and "24 GiB"."""
    match = _SIZE.fullmatch(str(value).strip())
    size = int(float(match.group(1)) * _UNITS[(match.group(2) or "").lower()]) if match else 0
    if not MIB <= size <= 1 << 50:
        raise InferenceError(f"{key} must be a size such as 24564MiB, 24GiB or 25757220864, not {shown(value)}.")
    return size


def _counted(part: str, memory: int | None) -> tuple[int, Card]:
    """Return how many cards one part of the text names, and which."""
    if memory is not None and re.fullmatch(r"\d{1,3}", part):
        return int(part), _stated("GPU", memory)
    if _find(part):
        return 1, _card(part, memory)
    before = _COUNT_BEFORE.fullmatch(part)
    if before:
        return int(before.group(1).rstrip("x×* ")), _card(before.group(2), memory)
    after = _COUNT_AFTER.fullmatch(part)
    if after:
        return int(after.group(2)), _card(after.group(1), memory)
    return 1, _card(part, memory)


def _card(words: str, memory: int | None) -> Card:
    if memory is not None:
        return _stated(words, memory)
    found = _find(words)
    if len(found) == 1:
        return found[0]
    if found:
        labels = ", ".join(card.label for card in found)
        raise InferenceError(f"gpu: {shown(words)} is the name of several cards: say which of {labels}.")
    nearest = _nearest(words)
    hint = f"; did you mean {' or '.join(nearest)}?" if nearest else "."
    raise InferenceError(f"gpu: no card is called {shown(words)}{hint} {WAY_OUT}", nearest=list(nearest))


def _stated(words: str, memory: int) -> Card:
    """Return a card of which the user states the memory; a known name keeps what else is known of the card."""
    found = _find(words)
    known = found[0] if len(found) == 1 else None
    mib = memory // MIB
    reserve = known.nvml_mib - known.cuda_mib if known else max(480, mib // 100)
    return Card(
        label=words,
        name=known.name if known else words,
        nvml_mib=mib,
        cuda_mib=mib - min(reserve, mib // 2),
        compute_capability=known.compute_capability if known else None,
        pcie_generation=known.pcie_generation if known else None,
        nvlinks=known.nvlinks if known else 0,
        switched=known.switched if known else False,
        peer_access=known.peer_access if known else False,
        nvml_source="stated",
        cuda_source="estimated",
    )


def _find(words: str) -> list[Card]:
    """Return the cards of that name: those whose full name it is, else those whose name it is but for the memory."""
    exact = [card for card in CARDS if _key(words) in _full_keys(card)]
    if exact:
        return exact
    memory, wanted = _MEMORY.search(words), _key(_MEMORY.sub(" ", words))
    found = [card for card in CARDS if wanted in _short_keys(card)]
    return [card for card in found if _is_sold_as(card, int(memory.group(1)))] if memory else found


def _is_sold_as(card: Card, gigabytes: int) -> bool:
    """Whether a card is sold with that memory; NVML shows less, for ECC and what the firmware keeps."""
    return 0.9 * 1024 * gigabytes < card.nvml_mib <= 1.02 * 1024 * gigabytes


def _full_keys(card: Card) -> set[str]:
    shared = any(_key(card.name) in _short_keys(other) for other in CARDS if other is not card)
    return _without_brand([card.label, *card.aliases] + ([] if shared else [card.name]))


def _short_keys(card: Card) -> set[str]:
    return _without_brand(_MEMORY.sub(" ", name) for name in (card.label, card.name))


def _without_brand(names: Iterable[str]) -> set[str]:
    """Return the keys of names, each with and without the RTX before it."""
    keys = {_key(name) for name in names}
    return keys | {key.removeprefix("rtx") for key in keys}


def _key(words: str) -> str:
    """Return a name as it is compared: small letters and digits, without makers and filler."""
    return re.sub(r"[^a-z0-9]", "", _FILLER.sub(" ", words.lower().replace("gib", "gb")))


def _nearest(words: str) -> tuple[str, ...]:
    """Return up to three labels whose names are most like ``words``."""
    labels = {key: card.label for card in CARDS for key in sorted(_full_keys(card) | _short_keys(card))}
    close = difflib.get_close_matches(_key(words), labels, n=6, cutoff=0.6)
    return tuple(dict.fromkeys(labels[key] for key in close))[:3]
