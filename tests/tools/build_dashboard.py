# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the Grafana dashboard of the role vllm_monitoring, by the types that Grafana generates from its own schema.

``python tests/tools/build_dashboard.py`` after a change here; a test holds the file to what this makes. The JSON is the
classic model of Grafana 11.6, which newer ones import as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PATH = Path(__file__).resolve().parents[2] / "roles" / "vllm_monitoring" / "files" / "vllm-dashboard.json"

_SOURCE = DataSourceRef("prometheus", "${datasource}")
# Of every query on services; a host has devices and a gateway.
_HOST = 'host=~"$host"'
_SERVICE = f'{_HOST}, service=~"$service"'
_EACH = "{{host}} {{service}}"
_HEIGHT, _WIDTH = 8, 8


@dataclass(frozen=True)
class Plot:
    """A panel over time: its title, what it shows, its unit as Grafana names it, and queries by their legend."""

    title: str
    description: str
    unit: str
    queries: dict[str, str]

    def panel(self) -> TimeSeries:
        """Return the builder of the panel."""
        legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
        panel = TimeSeries().title(self.title).description(self.description).unit(self.unit).datasource(_SOURCE)
        panel = panel.height(_HEIGHT).span(_WIDTH).min(0).fill_opacity(10).legend(legend.show_legend(True))
        for place, (shown, expression) in enumerate(self.queries.items()):
            panel = panel.with_target(_query(place, expression).range().legend_format(shown))
        return panel


def _query(place: int, expression: str) -> Dataquery:
    return Dataquery().expr(expression).ref_id(chr(ord("A") + place)).datasource(_SOURCE)


def _quantiles(metric: str) -> dict[str, str]:
    rate = f"sum by (le, host, service) (rate({metric}_bucket{{{_SERVICE}}}[$__rate_interval]))"
    return {f"{_EACH} p{share:.0%}".rstrip("%"): f"histogram_quantile({share}, {rate})" for share in (0.5, 0.95)}


def _services() -> Table:
    """Every service with its model, the generation that it is of, and the state of its unit."""
    joined = f"llmops_service_info{{{_SERVICE}}} * on (host, service) group_left (state) (llmops_service_state == 1)"
    query = _query(0, joined).instant().format(PromQueryFormat.TABLE)
    panel = Table().title("Services").description("The active generation on each host.").datasource(_SOURCE)
    return panel.height(_HEIGHT).span(2 * _WIDTH).with_target(query)


def _alerts() -> Table:
    query = _query(0, f'ALERTS{{alertstate="firing", {_HOST}}}').instant().format(PromQueryFormat.TABLE)
    panel = Table().title("Alerts").description("Alerts that fire now.").datasource(_SOURCE)
    return panel.height(_HEIGHT).span(_WIDTH).with_target(query)


ENGINES = (
    Plot(
        "Requests",
        "Requests that the engine works on, and those that wait in it.",
        "short",
        {
            f"{_EACH} running": f"sum by (host, service) (vllm:num_requests_running{{{_SERVICE}}})",
            f"{_EACH} waiting": f"sum by (host, service) (vllm:num_requests_waiting{{{_SERVICE}}})",
        },
    ),
    Plot(
        "Tokens",
        "Tokens per second, read in prompts and generated.",
        "short",
        {
            f"{_EACH} generated": f"sum by (host, service) (rate(vllm:generation_tokens_total{{{_SERVICE}}}"
            "[$__rate_interval]))",
            f"{_EACH} prompts": f"sum by (host, service) (rate(vllm:prompt_tokens_total{{{_SERVICE}}}"
            "[$__rate_interval]))",
        },
    ),
    Plot(
        "Finished requests",
        "Requests per second, by why they ended.",
        "reqps",
        {
            f"{_EACH} {{{{finished_reason}}}}": "sum by (host, service, finished_reason) "
            f"(rate(vllm:request_success_total{{{_SERVICE}}}[$__rate_interval]))"
        },
    ),
    Plot("Time to first token", "Seconds.", "s", _quantiles("vllm:time_to_first_token_seconds")),
    Plot("Time between tokens", "Seconds.", "s", _quantiles("vllm:inter_token_latency_seconds")),
    Plot("Time in the queue", "Seconds.", "s", _quantiles("vllm:request_queue_time_seconds")),
    Plot("Request latency", "Seconds until the last token.", "s", _quantiles("vllm:e2e_request_latency_seconds")),
    Plot(
        "KV cache",
        "Share of the KV cache in use.",
        "percentunit",
        {_EACH: f"max by (host, service) (vllm:kv_cache_usage_perc{{{_SERVICE}}})"},
    ),
    Plot(
        "Preemptions",
        "Requests per second that were thrown out of a full KV cache, to be computed again.",
        "reqps",
        {_EACH: f"sum by (host, service) (rate(vllm:num_preemptions_total{{{_SERVICE}}}[$__rate_interval]))"},
    ),
)
DEVICES = (
    Plot(
        "Device memory against the plan",
        "Memory in use on each device that the plan has, and what the plan expects in use.",
        "bytes",
        {
            "{{host}} {{device}} used": f"llmops:device_used_bytes{{{_HOST}}} and on (host, device) "
            "llmops_device_planned_bytes",
            "{{host}} {{device}} planned": f"llmops_device_planned_bytes{{{_HOST}}}",
        },
    ),
    Plot(
        "Share of the plan",
        "Memory in use over what the plan expects: above 1 somebody else is there.",
        "percentunit",
        {"{{host}} {{device}}": f"llmops:device_used_to_planned:ratio{{{_HOST}}}"},
    ),
    Plot(
        "Host memory",
        "Memory of the host that each service holds, without files that the kernel can drop.",
        "bytes",
        {_EACH: f"llmops_service_resident_bytes{{{_SERVICE}}}"},
    ),
    Plot(
        "GPU utilization",
        "Share of time in which a kernel ran.",
        "percentunit",
        {"{{host}} {{device}}": f"llmops:gpu_utilization:ratio{{{_HOST}}}"},
    ),
    Plot("GPU power", "Watts.", "watt", {"{{host}} {{device}}": f"llmops:gpu_power_watts{{{_HOST}}}"}),
    Plot(
        "GPU temperature",
        "Degrees Celsius.",
        "celsius",
        {"{{host}} {{device}}": f"llmops:gpu_temperature_celsius{{{_HOST}}}"},
    ),
)
INCIDENTS = (
    Plot(
        "Incidents",
        "Incidents in the hour before, by cause.",
        "short",
        {"{{host}} {{service}} {{kind}}": f"increase(llmops_incidents_total{{{_HOST}}}[1h]) > 0"},
    ),
    Plot(
        "Restarts",
        "Restarts that nobody asked for, in the hour before.",
        "short",
        {_EACH: f"increase(llmops_service_restarts_total{{{_SERVICE}}}[1h])"},
    ),
    Plot(
        "Generation",
        "The number of the active generation: each step is a deployment or a rollback.",
        "none",
        {"{{host}}": f"llmops_generation{{{_HOST}}}"},
    ),
)
GATEWAYS = (
    Plot(
        "Answers",
        "Answers per second to clients, by model and class of status.",
        "reqps",
        {
            "{{host}} {{proxy}} {{code}}": "sum by (host, proxy, code) (rate(haproxy_backend_http_responses_total"
            f'{{{_HOST}, proxy=~"model-.*"}}[$__rate_interval]))'
        },
    ),
    Plot(
        "Engines and queue",
        "Engines of each model that take requests, and requests that wait in the gateway.",
        "short",
        {
            "{{host}} {{proxy}} engines": f'haproxy_backend_active_servers{{{_HOST}, proxy=~"model-.*"}}',
            "{{host}} {{proxy}} waiting": f'haproxy_backend_current_queue{{{_HOST}, proxy=~"model-.*"}}',
        },
    ),
    Plot(
        "Certificate",
        "Time until the gateway's certificate ends.",
        "s",
        {"{{host}}": f"probe_ssl_earliest_cert_expiry{{{_HOST}}} - time()"},
    ),
)


def _choice(name: str, label: str, metric: str) -> QueryVariable:
    query = f"label_values({metric}, {name})"
    variable = QueryVariable(name).label(label).query(query).datasource(_SOURCE).multi(True).include_all(True)
    return variable.all_value(".*").refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def build() -> str:
    """Return the dashboard as the text of its file."""
    dashboard = (
        Dashboard("vLLM endpoints")
        .uid("llmops-inference")
        .description("Engines, devices, incidents and gateways of llmops.inference.")
        .tags(["vllm", "llmops.inference"])
        .refresh("30s")
        .time("now-3h", "now")
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_choice("host", "Host", "up"))
        .with_variable(_choice("service", "Service", f"llmops_service_info{{{_HOST}}}"))
    )
    rows = {"Engines": ENGINES, "Devices": DEVICES, "Incidents": INCIDENTS, "Gateways": GATEWAYS}
    dashboard = dashboard.with_panel(_services()).with_panel(_alerts())
    for title, plots in rows.items():
        dashboard = dashboard.with_row(Row(title))
        for plot in plots:
            dashboard = dashboard.with_panel(plot.panel())
    built = dashboard.build()
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(build(), encoding="utf-8")
