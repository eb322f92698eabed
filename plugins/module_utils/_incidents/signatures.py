# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of failure that this collection can name. Data: ``cause`` weighs the lines, docs/troubleshooting.md
is generated from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from .lines import bounded
from .signature import ENGINE_ERROR, UNKNOWN, Rank, Signature
from .signatures_gpu import GPU_SIGNATURES
from .signatures_host import HOST_SIGNATURES
from .signatures_model import MODEL_SIGNATURES

SIGNATURES: Sequence[Signature] = (*GPU_SIGNATURES, *HOST_SIGNATURES, *MODEL_SIGNATURES)

# Words that tell a kind stand near the begin of a message; the time that patterns take grows with the square of this.
_LONGEST = 700

#: Every kind that ``cause`` may return.
KINDS = (*dict.fromkeys(signature.kind for signature in SIGNATURES), ENGINE_ERROR, UNKNOWN)


@lru_cache(maxsize=4096)
def recognise(message: str, raised: bool) -> tuple[Signature, Rank] | None:
    """Return the kind of a message and what the message is worth; None where no kind fits.

    ``raised``: the message is an exception's, or its process called it an error. A general kind needs that.
    """
    message = bounded(message, _LONGEST)
    best: tuple[Signature, Rank] | None = None
    for signature in SIGNATURES:
        if signature.general and (best is not None or not raised):
            continue
        rank = signature.rank_of(message)
        if rank is not None and (best is None or rank > best[1]):
            best = signature, rank
    return best
