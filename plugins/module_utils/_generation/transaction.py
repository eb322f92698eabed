# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a transaction that has begun and not ended, which outlives the process and the power.

It is written before anything changes and removed when the new generation serves. Anyone who finds it while nobody
deploys knows that the host was left in between, and from where it came.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _files
from .._errors import InferenceError
from .store import GenerationStore

_MODE = 0o600


@dataclass(frozen=True)
class Transaction:
    """From generation ``before`` (None: from nothing) to ``after``, which goes with a failure where it is ``new``.

    ``since`` is local time, ``by`` who asked for it.
    """

    before: int | None
    after: int
    new: bool
    since: str
    by: str


class TransactionRecord:
    """The record at ``path``, usually ``/etc/vllm/transaction.json``."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> Transaction | None:
        """Return the transaction that has not ended; None where there is none.

        InferenceError where the disk does not tell: a host that was left in between must not count as one that serves.
        """
        try:
            values: dict[str, Any] = json.loads(self._path.read_text())
            before = None if values["before"] is None else int(values["before"])
            return Transaction(
                before, int(values["after"]), bool(values["new"]), str(values["since"]), str(values["by"])
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InferenceError(
                f"cannot read {self._path} ({error.strerror}), which tells whether a change was interrupted; nothing "
                "was changed: repair the file system, and run again"
            ) from error
        except (ValueError, KeyError, TypeError):
            return None  # it is written whole or not at all: this was somebody's hand, and tells nothing

    def base(self, store: GenerationStore) -> int | None:
        """The last generation that served: the active generation, or where an interrupted transaction came from."""
        interrupted = self.read()
        return store.kept(interrupted.before) if interrupted else store.base()

    def open(self, transaction: Transaction) -> None:
        """Write it down; InferenceError on a full or read-only disk."""
        try:
            _files.replace(self._path, json.dumps(vars(transaction), sort_keys=True) + "\n", _MODE, 0)
        except OSError as error:
            raise InferenceError(
                f"cannot write {self._path} ({error.strerror}); nothing was changed: make room or the directory "
                "writable, and run again"
            ) from error

    def close(self) -> None:
        """It has ended, in one generation or the other."""
        _files.unlink(self._path)
