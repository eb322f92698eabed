# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as a file: each module of the collection that needs a host becomes a copy of this one, with its own NAME."""

# WANT_JSON: Ansible passes the arguments in a file.
from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

NAME = "module"
HERE = Path(os.environ["EXPERIMENT_HOST"])


def vllm_deployment_info(host: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    generations = [{"number": int(number), "problem": None} for number in host["layouts"]]
    return {"generation": host["generation"], "generations": generations, "transaction": None}


def vllm_candidates(host: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    candidates = [
        {"changes": {"mini": {"max_num_seqs": seqs}} if seqs else {}, "services": [{"name": "mini"}]}
        for seqs in (0, *arguments["space"]["mini"]["max_num_seqs"])
    ]
    counts = {"combinations": len(candidates), "drawn": len(candidates), "refused": 0, "refusal": None}
    return {"candidates": candidates, "start_fits": True, **counts}


def vllm_deployment(host: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments.get("state") == "absent":
        host["done"].append("remove")
        host["generation"] = None
        return {"changed": True}
    if arguments.get("state") == "rolled_back":
        host["generation"] = int(arguments["generation"])
        host["done"].append(f"return to {host['generation']}")
    else:
        seqs = arguments["services"][0]["max_num_seqs"]
        host["done"].append(f"deploy {seqs}")
        if seqs == 999:
            refusal = {"service": "mini", "reason": "GPU 0 has no room for it", "gate": 1}
            return {"failed": True, "msg": "The layout does not fit.", "plan": {"refusals": [refusal]}}
        if seqs < 0:
            return {"failed": True, "msg": "service 'mini': max_num_seqs is -1"}
        host["generation"] = max(map(int, host["layouts"]), default=0) + 1
        host["layouts"][str(host["generation"])] = seqs
    return {"changed": True, "generation": host["generation"], "generation_before": 1, "services": [], "removed": []}


def vllm_benchmark(host: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments["services"]:
        return {"failed": True, "msg": f"no service is called {arguments['services'][0]}"}
    seqs = host["layouts"][str(host["generation"])]
    host["done"].append(f"measure {seqs}, {arguments['scenario']} {arguments['round']}")
    run = json.loads((HERE / ("slow.json" if seqs == 1 else "fast.json")).read_text())
    run["environment"]["host"] = arguments["host_name"]
    if arguments.get("side"):
        run.update(side=arguments["side"], round=int(arguments["round"]))
    return {"results": [run]}


def main() -> None:
    arguments = json.loads(Path(sys.argv[1]).read_text())
    host = json.loads((HERE / "host.json").read_text())
    result = {"changed": False, **globals()[NAME](host, arguments)}
    (HERE / "host.json").write_text(json.dumps(host))
    print(json.dumps(result))


main()
