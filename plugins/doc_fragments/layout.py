# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that describe a layout and how to plan it, as module_utils/_arguments.py specifies them."""

from __future__ import annotations


class ModuleDocFragment:
    """A layout: the services of one host, and what holds for all of them."""

    DOCUMENTATION = r"""
options:
  services:
    description:
      - The layout, that is the services that one host is to run.
      - All mistakes in it are reported at once.
      - Must be stated wherever something is planned.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the service and instance of its unit, C(vllm@NAME.service).
          - Up to 64 of C(a-z), C(0-9), C(_), C(.) and C(-), beginning with a letter or digit.
        type: str
        required: true
      model:
        description:
          - Directory of the model on the host, an absolute path.
          - Where O(services[].geometry) is stated and the directory is not there, any name of the model.
        type: str
        required: true
      port:
        description:
          - TCP port of the endpoint, from 1024 to 65535. Unique on a host.
          - Required, unless O(services[].socket=true).
        type: int
      socket:
        description:
          - The engine listens on the unix socket C(/run/vllm/NAME/api.sock) and on no port; O(services[].host) and
            O(services[].port) are then not used.
          - The services' user and group may connect, and root. Nobody else on the host reaches the engine, and the
            engine reaches no network, not even the host's loopback.
        type: bool
        default: false
      served_model_name:
        description: Name under which clients ask for the model. The default is O(services[].name).
        type: str
      host:
        description: Address or host name on which the endpoint listens.
        type: str
        default: 127.0.0.1
      allow_from:
        description:
          - IP addresses and networks that may reach an endpoint which does not listen on loopback; a gateway's, for
            example. Its unit then lets it exchange packets with them and with its own host only
            (C(IPAddressAllow=), C(IPAddressDeny=any)).
          - Needs O(services[].host) to be an IP address. Without it, anyone who reaches the address reaches the
            endpoint.
        type: list
        elements: str
        default: []
      gpus:
        description:
          - The devices of the service. A list names them, by index in PCI bus order or by UUID.
          - V(auto), or a dictionary with the number C(count), leaves the choice to the plan.
          - With O(accelerator=cpu) a device is a NUMA node, named V(numa:K). Indices and UUIDs are then
            disregarded and the plan takes the first nodes, so that one layout serves both accelerators.
        type: raw
        default: auto
      tensor_parallel_size:
        description:
          - Number of ranks over which every layer is divided, one to a device.
          - The default is such that the ranks of all stages are the number of O(services[].gpus), those of all hosts
            together; V(1) where they do not say.
        type: int
      pipeline_parallel_size:
        description:
          - Number of stages over which the layers are divided, each with O(services[].tensor_parallel_size) ranks.
          - Where stages differ, the plan counts with the one on this host that needs most.
        type: int
        default: 1
      multi_node:
        description:
          - The place of this host among several that run the service together. The role
            P(llmops.inference.vllm_services#role) makes it of C(hosts); see the page on several hosts.
          - Each host has the same number of ranks, in the order of the hosts, and plans for its own alone.
        type: dict
        suboptions:
          node_rank:
            description: Which of the addresses is this host's, from 0. That of rank 0 answers requests.
            type: int
            required: true
          addresses:
            description: IP addresses of the interconnect, one of each host, in the order of their ranks.
            type: list
            elements: str
            required: true
          master_port:
            description:
              - TCP port of the first host where the ranks meet. On the one after it every host tells the others how
                its part of the service is.
            type: int
            default: 29501
          executor:
            description:
              - V(mp) starts an engine on every host, which the engine's own executor joins.
              - V(ray) starts one on the first host, which has a Ray cluster start the ranks.
            type: str
            choices: [mp, ray]
            default: mp
      max_model_len:
        description:
          - Longest context in tokens, prompt and answer together.
          - V(fit) is the longest that fits the service's share and that the model reaches.
        type: raw
        default: fit
      memory_weight:
        description:
          - Weight with which a service takes part in what is left of a device after all needs are met.
          - The default is the bytes of its weights there.
        type: float
      gpu_memory_utilization:
        description:
          - Fraction of each device's total memory that the service has, with at most four decimals.
          - By default the plan decides. Stated ones are refused where their sum is above
            O(gpu_memory_budget).
        type: float
      kv_cache_dtype:
        description: Element type of the KV cache. V(auto) is that of the model.
        type: str
        default: auto
      max_num_seqs:
        description:
          - Requests that the engine works on at a time.
          - The default is V(256) on cuda and V(32) on cpu. It is always pinned, because the engine's own
            default follows the card, and the memory it needs with it.
        type: int
      max_num_batched_tokens:
        description:
          - Tokens that the engine works on at a time.
          - The default is V(8192) on cuda and V(2048) on cpu, or O(services[].max_num_seqs) where that is
            more. It is always pinned, too.
        type: int
      rope:
        description: Rope scaling that replaces the model's own and stretches the context it reaches.
        type: dict
        suboptions:
          rope_type:
            description: The kind of scaling.
            type: str
            choices: [yarn]
            default: yarn
          factor:
            description: By how much the context is stretched.
            type: float
            required: true
          original_max_position_embeddings:
            description:
              - Context in tokens that the factor multiplies. The default is what the model says.
            type: int
      min_pcie_generation:
        description: PCIe generation below which a GPU of the service earns a warning.
        type: int
      engine_args:
        description:
          - Further flags of the engine, without their leading dashes.
          - Flags that the plan decides are refused; the message says which key states them instead.
        type: dict
        default: {}
      environment:
        description: Environment variables of the service.
        type: dict
        default: {}
      secret_environment:
        description:
          - Environment variables that nobody but the service may read, such as C(VLLM_API_KEY).
        type: dict
        default: {}
      geometry:
        description:
          - The model's shape in the words of its C(config.json), and C(parameters) or C(weights_bytes). With
            it, a model is planned that is not on the host.
          - For a model that is, single values override its C(config.json).
          - An architecture that is not known takes C(kv_bytes_per_token), C(max_position_embeddings) and
            C(weights_bytes).
        type: dict
      shutdown_timeout:
        description: Seconds that requests under way have to finish when the service stops.
        type: int
        default: 30
      start_timeout:
        description: Seconds that a start may take, until the first generated token.
        type: int
        default: 900
      memory_max:
        description: Limit of the unit's host memory, as systemd's C(MemoryMax) takes it, such as V(64G).
        type: str
      memory_high:
        description: Host memory above which the unit is slowed down, as systemd's C(MemoryHigh) takes it.
        type: str
      watchdog:
        description:
          - How C(vllm-watchdog@NAME.timer) watches the service; V(false) leaves it unwatched.
          - A dictionary takes C(interval), the pause between two looks (30 s); C(deadline), in which the one token that
            a look asks for must come (30 s); C(misses), the looks in a row without a token after which an engine is
            wedged and is restarted (3); and C(stall), the time that an engine with requests under way may stand still
            before they no longer excuse it (600 s).
          - A look is a miss only where, since the look before, the engine has neither worked on a prompt nor generated
            anything for anybody. A busy engine is never restarted.
          - A single step of the engine, such as a prompt of C(max_num_batched_tokens), must not take longer than
            C(misses) looks do.
        type: raw
  accelerator:
    description: What the engine computes on.
    type: str
    choices: [cuda, cpu]
    default: cuda
  gpu_memory_budget:
    description:
      - Ceiling for the sum of all shares on one device, as a fraction of its total memory.
      - A share is the engine's C(gpu-memory-utilization). It does not include the CUDA context and the
        communication buffers, so that a high budget may not start; see O(on_overcommit).
    type: float
    default: 0.99
  on_overcommit:
    description:
      - What to do where the budget of a device is above the highest sum of shares that starts there.
      - V(clamp) plans within what starts and warns, with the difference in bytes.
      - V(refuse) refuses the plan.
    type: str
    choices: [refuse, clamp]
    default: clamp
  engine_version:
    description:
      - Version of the engine that will run the plan, such as V(0.32.0). It decides the spelling of flags and
        how much memory the engine takes beside weights and KV cache.
      - Plans are made for 0.11.0 to 0.33. An engine outside of that is planned as the nearest one, with a warning.
      - Without it, the newest is assumed.
    type: str
  reserve_bytes:
    description: Bytes that stay free on each device.
    type: int
    default: 0
  calibration:
    description:
      - Whether what engines really used replaces estimates.
      - M(llmops.inference.vllm_deployment) records it under C(/var/lib/vllm/calibration) whenever a service has
        started, by device, driver, engine version, model and the settings that move memory. V(auto) plans with what
        was recorded on this host, and C(memory_source) of each service says which components were measured.
        V(ignore) plans with estimates.
      - A record alone changes no plan that is active.
      - A service that may be placed on GPUs of several kinds is planned with estimates; name its GPUs to change that.
    type: str
    choices: [auto, ignore]
    default: auto
  gpu_health:
    description:
      - What a GPU's health means to services. It is asked of NVML and, where the host itself is planned for, of the
        kernel log since boot (Xid errors); a service asks NVML again before and after each of its starts.
      - V(refuse) leaves such a GPU out of the plan, refuses a service that names it, and lets none start on it. V(warn)
        uses it where nothing better is free, and says so. V(ignore) takes it for a sound one.
      - A GPU that the driver no longer opens is never used.
    type: dict
    suboptions:
      failed:
        description:
          - A GPU that is lost, has uncorrectable memory errors or a row that cannot be remapped, or wrote an Xid error
            after which it needs a reset.
        type: str
        choices: [refuse, warn, ignore]
        default: refuse
      degraded:
        description: A GPU whose repair waits for a reset, or that is throttled for heat or by the hardware.
        type: str
        choices: [refuse, warn, ignore]
        default: warn
"""
