#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_gateway_servers
version_added: 1.0.0
short_description: Takes the services of an engine host out of a gateway, or back in
description:
  - Runs on the host of a gateway that the role P(llmops.inference.vllm_gateway#role) made, through the socket of
    HAProxy's master.
  - Out means that no new request goes there and that those under way are finished, also those of workers that a reload
    has replaced. Back in means that requests go there again and that the service generates.
  - What is set outlives reloads and restarts of the gateway.
  - Where no gateway runs, or where it does not know the host, nothing is done and RV(message) says so.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
requirements:
  - Python >= 3.9
  - HAProxy >= 2.6 in master-worker mode, as Debian runs it, and root's rights.
options:
  host:
    description: The engine host, as the inventory names it.
    type: str
    required: true
  services:
    description: Services of it, by name. The default is all of them.
    type: list
    elements: str
    default: []
  state:
    description: V(drained) takes them out, V(ready) takes them back in.
    type: str
    choices: [drained, ready]
    required: true
  timeout:
    description:
      - Seconds to wait, with O(state=drained) for the requests under way, with O(state=ready) for the checks.
      - It is an error when they are not enough. What was set stays set.
      - With V(0) nothing is waited for, which is no error.
    type: float
    default: 300
  allow_last:
    description:
      - Whether O(state=drained) may leave a model without a server where it has others that are drained or down.
      - It is refused otherwise, and nothing is set. The only server that a model has at all can always be taken out.
    type: bool
    default: false
  socket:
    description: The socket of HAProxy's master.
    type: path
    default: /run/haproxy-master.sock
  state_file:
    description: Where the role lets HAProxy find the state of its servers when it starts.
    type: path
    default: /var/lib/vllm-gateway/server-state
"""

EXAMPLES = r"""
---
- name: Let a host finish what it works on before its engines are replaced
  llmops.inference.vllm_gateway_servers:
    host: "{{ inventory_hostname }}"
    state: drained
  delegate_to: gateway-1
"""

RETURN = r"""
message:
  description: What was done, or why nothing was, in a sentence.
  returned: always
  type: str
  sample: Drained gpu-1:mini; no request is left on it.
servers:
  description: The servers of the host in the gateway; empty where no gateway runs or where it does not know the host.
  returned: success
  type: list
  elements: dict
  contains:
    backend:
      description: The backend, one per model.
      returned: success
      type: str
      sample: model-mini
    name:
      description: The server, C(HOST:SERVICE).
      returned: success
      type: str
      sample: gpu-1:mini
    drained:
      description: Whether new requests are kept from it.
      returned: success
      type: bool
    up:
      description: Whether its checks pass, drained or not.
      returned: success
      type: bool
    sessions:
      description: Requests that it works on.
      returned: success
      type: int
      sample: 0
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gateway.haproxy import (
    MASTER_SOCKET,
    SERVER_STATE_FILE,
    Gateway,
    Server,
    last_ones,
    of_host,
    wait,
)


def set_servers(gateway: Gateway, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Return the module's result; InferenceError where the wait was too short."""
    host, services, drained = params["host"], params["services"], params["state"] == "drained"
    if not gateway.running():
        return _result(False, f"Nothing was done: no gateway runs here (nothing answers on {params['socket']}).", [])
    every = gateway.servers()
    servers = of_host(every, host, services)
    if not servers:
        return _result(False, f"Nothing was done: the gateway has no server of {host}.", [])
    wrong = [server for server in servers if server.drained != drained]
    last = last_ones(every, wrong) if drained and not params["allow_last"] else []
    if last:
        raise InferenceError(_nobody_left(last, every), servers=[asdict(server) for server in servers])
    word = "Drained" if drained else "Ready"
    names = ", ".join(server.name for server in servers)
    if check_mode:
        return _result(bool(wrong), f"{word}: {names}", [replace(server, drained=drained) for server in servers])
    for server in wrong:
        gateway.set_drained(server, drained)
    if wrong:
        gateway.save(params["state_file"])
    servers, late = wait(
        lambda: of_host(gateway.servers(), host, services),
        (lambda server: server.sessions == 0) if drained else (lambda server: server.up),
        params["timeout"],
    )
    if late and params["timeout"]:
        raise InferenceError(
            _too_late(late, drained, params["timeout"]), servers=[asdict(server) for server in servers]
        )
    reached = "no request is left" if drained else "all checks pass"
    waiting = ", ".join(server.name for server in late)
    return _result(bool(wrong), f"{word}: {names}; {f'not waited for {waiting}' if late else reached}.", servers)


def _nobody_left(last: Sequence[Server], every: Sequence[Server]) -> str:
    backends = {server.backend for server in last}
    names = {server.name for server in last}
    others = [server for server in every if server.backend in backends and server.name not in names]
    states = ", ".join(f"{server.name} is {'drained' if server.drained else 'down'}" for server in others)
    return (
        f"{', '.join(sorted(names))} would leave its model without a server, because {states}: take these back in or "
        "repair them first, or accept it with allow_last (vllm_gateway_drain_last)."
    )


def _too_late(late: Sequence[Server], drained: bool, timeout: float) -> str:
    if drained:
        working = ", ".join(f"{server.name} with {server.sessions} requests" for server in late)
        return f"still at work after {timeout:.0f} s: {working}. Wait longer (timeout), or stop it and lose them."
    names = ", ".join(server.name for server in late)
    return f"not up after {timeout:.0f} s: {names}. The journal of vllm-gateway-probe says why."


def _result(changed: bool, message: str, servers: Sequence[Server]) -> dict[str, Any]:
    return {"changed": changed, "message": message, "servers": [asdict(server) for server in servers]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "services": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["drained", "ready"], "required": True},
            "timeout": {"type": "float", "default": 300},
            "allow_last": {"type": "bool", "default": False},
            "socket": {"type": "path", "default": MASTER_SOCKET},
            "state_file": {"type": "path", "default": SERVER_STATE_FILE},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**set_servers(Gateway(module.params["socket"]), module.params, module.check_mode))
    except (InferenceError, OSError) as error:
        details = error.details if isinstance(error, InferenceError) else {}
        module.fail_json(msg=f"{module.params['host']}: {error}", message=str(error), **details)


if __name__ == "__main__":
    main()
