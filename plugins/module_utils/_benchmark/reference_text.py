# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text whose perplexity is measured, and the prompts that are answered greedily. Pure, and for ever the same.

The text is the log of a harbour, as long as is asked for. Every ship that has come in leaves again much later, with
what was said of it then: whoever attends to what is far back is less surprised by it.
"""

from __future__ import annotations

import random

GREEDY_PROMPTS = (
    "The three states of matter that everybody knows are",
    "Question: A train leaves at 9:40 and arrives at 13:05. How long does it travel?\nAnswer:",
    "def fibonacci(n):\n",
    "Translate into French: The harbour is closed until tomorrow morning.\n",
    "A list of the planets, beginning with the one nearest to the sun:\n1.",
    "Summarise in one sentence: Engines that share a device have to share its memory as well, and whoever starts last "
    "finds only what the others have left.\n",
)

_OPENING = """\
The harbour master keeps this log by hand. Every ship is written down when it comes in, with the berth that it
is given, the cargo that it carries and the weather of that hour, and once more when it leaves. Nobody is
asked to read all of it; but whoever wants to know where a ship lay, or what it had on board, finds it here,
however long ago it was. On quiet days there is little to write. Then the harbour master describes the light
on the water, the gulls on the roof of the customs house, or the repairs of the crane, which has been out of
order since the autumn. On other days the pages are full, and the ink has hardly dried on one line before the
next ship sounds its horn behind the breakwater.
"""
_FIRST = (
    "Amber",
    "Bright",
    "Cedar",
    "Distant",
    "Early",
    "Falcon",
    "Golden",
    "Hidden",
    "Iron",
    "Jolly",
    "Kind",
    "Lonely",
)
_SECOND = (
    "Anchor",
    "Breeze",
    "Current",
    "Dawn",
    "Ember",
    "Frigate",
    "Gull",
    "Horizon",
    "Island",
    "Journey",
    "Keel",
    "Light",
)
_CARGO = (
    "barley",
    "copper wire",
    "dried fish",
    "empty barrels",
    "furniture",
    "glass",
    "lamp oil",
    "paper",
    "salt",
    "timber",
)
_WEATHER = (
    "a calm sea",
    "drizzle",
    "fog until noon",
    "hail",
    "a north wind",
    "sunshine",
    "thunder far off",
    "a warm rain",
)
_FROM = ("Bergen", "Cork", "Gdansk", "Genoa", "Lisbon", "Malmo", "Porto", "Riga", "Tallinn", "Trieste")
# How many ships lie in the harbour before the first of them leaves.
_BERTHS = 120
# A word of English and its space; a tokenizer makes a token or more of each.
_CHARACTERS_PER_TOKEN = 7


def reference_text(tokens: int) -> str:
    """Return a text that is at least so many tokens long in any tokenizer of words or parts of them."""
    chance = random.Random(20261123)
    lines, size, number = [_OPENING], len(_OPENING), 0
    here: list[tuple[str, int, str, str]] = []
    while size < tokens * _CHARACTERS_PER_TOKEN:
        number += 1
        if len(here) < _BERTHS or chance.random() < 0.5:
            name = f"{chance.choice(_FIRST)} {chance.choice(_SECOND)} {number}"
            ship = (name, chance.randrange(1, 400), chance.choice(_CARGO), chance.choice(_FROM))
            here.append(ship)
            line = (
                f"{number}. The {name} came in from {ship[3]} with {ship[2]}, in {chance.choice(_WEATHER)}, and lies "
            )
            line += f"at berth {ship[1]}.\n"
        else:
            name, berth, cargo, port = here.pop(0)
            line = f"{number}. The {name}, which had come from {port}, left berth {berth} without its {cargo}, in "
            line += f"{chance.choice(_WEATHER)}.\n"
        lines.append(line)
        size += len(line)
    return "".join(lines)
