# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of modules whose work outlives them: starts it, follows it on the host, shows its progress."""

from __future__ import annotations

import getpass
import json
import shlex
import socket
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

POLL_SECONDS = 2.0
# A connection may be away this long before the play gives up on it; the work on the host goes on meanwhile.
RECONNECT_SECONDS = 300.0
# What has not been heard of for so long is still going on, and says so.
SILENT_SECONDS = 10.0


class FollowingAction(ActionBase):
    """Runs the module of its name detached and returns what its work returned. ``work`` is what that is called."""

    _supports_check_mode = True
    _supports_diff = True
    work = "the transaction"
    way_out = "run again to converge"

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, after its work where it started any."""
        super().run(tmp, task_vars)
        arguments = {"requested_by": _requester(task_vars or {}), **self._task.args, "detach": True}
        result = dict(self._execute_module(module_args=arguments, task_vars=task_vars))
        job = result.pop("job", None)
        if job:
            result.update(self._follow(job["directory"], (task_vars or {}).get("inventory_hostname", "")))
        return result

    def _follow(self, directory: str, host: str) -> dict[str, Any]:
        """Show every new line of progress until the transaction has left its result."""
        shown, last_contact = 0, time.monotonic()
        last_line, last_shown = "", time.monotonic()
        while True:
            try:
                lines, result, alive = self._look(directory, shown)
                last_contact = time.monotonic()
            except AnsibleConnectionFailure as failure:
                if time.monotonic() - last_contact > RECONNECT_SECONDS:
                    raise
                display.warning(f"{host}: connection lost, {self.work} on the host goes on ({failure})")
                lines, result, alive = [], None, True
            for line in lines:
                self._show(host, line)
                last_line, last_shown = line, time.monotonic()
            shown += len(lines)
            if last_line and time.monotonic() - last_shown >= SILENT_SECONDS:
                last_line, last_shown = _still(last_line, time.monotonic() - last_shown), time.monotonic()
                self._show(host, last_line)
            if result is not None:
                return result
            if not alive:
                return {
                    "failed": True,
                    "msg": f"{self.work} on {host} ended without a result, as if killed, or the host with it; "
                    f"{self.way_out}",
                }
            time.sleep(POLL_SECONDS)

    def _look(self, directory: str, shown: int) -> tuple[list[str], dict[str, Any] | None, bool]:
        """New lines of progress, the result if there is one, and whether the work still goes on."""
        quoted = shlex.quote(directory)
        # The liveness test comes first: a result written in between is then seen by the read that follows.
        command = (
            f"alive=gone; for pid in $(cat {quoted}/pids 2>/dev/null); "
            "do kill -0 $pid 2>/dev/null && alive=alive; done; echo $alive; "
            f"tail -n +{shown + 1} {quoted}/progress; echo; echo ---; cat {quoted}/result 2>/dev/null || true"
        )
        answer = self._low_level_execute_command(f"sh -c {shlex.quote(command)}")
        out = answer["stdout"]
        if not out:  # not every connection plugin raises where there is no host to connect to
            raise AnsibleConnectionFailure(answer.get("stderr") or "no answer")
        head, _separator, tail = out.partition("\n---")
        alive, *lines = head.splitlines()
        result = json.loads(tail) if tail.strip() else None
        return [line for line in lines if line.strip()], result, alive.strip() == "alive"

    @staticmethod
    def _show(host: str, line: str) -> None:
        service, text, seconds = [*line.split("\t"), "", ""][:3]
        display.display(f"  {host}  {service:<14} {seconds:>4} s  {text}")


def _still(line: str, seconds: float) -> str:
    """Return the last line of progress again, so many seconds later."""
    service, text, at = [*line.split("\t"), "", "", ""][:3]
    later = float(at or 0) + seconds
    return "\t".join((service, text if text.startswith("still ") else f"still {text}", f"{later:.0f}"))


def _requester(task_vars: dict[str, Any]) -> str:
    """Who asks, as far as a controller knows: a user of it, and the play."""
    play = task_vars.get("ansible_play_name")
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    return f"{who} (play '{play}')" if play else who
