# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report: complete, dependent on nothing, and looked at in a real browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter.report_html import report_html
from ansible_collections.llmops.inference.plugins.filter.result_report import result_report
from ansible_collections.llmops.inference.tests.unit.browser import assert_shows, opened
from ansible_collections.llmops.inference.tests.unit.legibility import COLOURS, WIDTHS, unreadable
from ansible_collections.llmops.inference.tests.unit.measured import LOAD, eventful, run, service, turns

HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
OBJECTIVES = [
    {"service": "mini", "metric": "ttft_p95_seconds", "max": 0.5},
    {"service": "mini", "metric": "end_to_end_p50_seconds", "max": 0.2},
    {"service": "mini", "metric": "ttft_p99_seconds", "max": 0.5},
]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return dict(result_report([one.to_dict() for one in eventful()], OBJECTIVES))


@pytest.fixture(scope="module")
def page(report: dict[str, Any]) -> str:
    return report_html(report, [one.to_dict() for one in turns(3)])


def text_of(page: str) -> str:
    return " ".join("".join(ElementTree.fromstring(page).itertext()).split())


def rows(page: str) -> list[ElementTree.Element]:
    return [row for row in ElementTree.fromstring(page).iter(f"{HTML}tr") if row.get("data-verdict") is not None]


def test_every_row_of_the_comparison_is_on_the_page_with_its_verdict(report: dict[str, Any], page: str) -> None:
    drawn = [("".join(row[0].itertext()), row.get("data-verdict")) for row in rows(page)]
    assert drawn == [(row["words"], row["verdict"] or "") for row in report["comparison"]]
    assert {"better", "no difference shown", "could not start"} <= {verdict for _words, verdict in drawn}


def test_what_could_not_start_says_why_once_and_how_many_bytes_are_missing(page: str) -> None:
    said = text_of(page)
    assert said.count("0.79 GiB (850403492 bytes) missing") == 1
    assert "is less than desired GPU memory utilization" in said


def test_objectives_incidents_and_quality_are_on_the_page(page: str) -> None:
    said = text_of(page)
    assert "1 of 3 are kept." in said
    assert "incident: out of device memory" in said
    assert "perplexity, long text" in said
    assert "no run tells it; the longest had 40 requests" in said


def test_the_page_fetches_nothing_runs_nothing_and_is_the_same_for_the_same_report(
    report: dict[str, Any], page: str
) -> None:
    assert page == report_html(report, [one.to_dict() for one in turns(3)])
    assert not re.search(r"<script|@import|<link|\bon\w+=", page)
    assert set(re.findall(r"https?://[^\"]+", page)) <= {HTML[1:-1], SVG[1:-1], "http://www.w3.org/1999/xlink"}
    assert all(found.startswith("#") for found in re.findall(r"(?:src|href)=\"([^\"]*)\"", page))
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)\)", page))


def test_every_reference_within_the_page_leads_to_exactly_one_place(page: str) -> None:
    names = [item.get("id") for item in ElementTree.fromstring(page).iter() if item.get("id")]
    assert len(names) == len(set(names))
    wanted = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", page))
    assert wanted
    assert wanted <= set(names)


def test_plots_say_what_they_show_to_those_who_do_not_see_them(page: str) -> None:
    labels = [plot.get("aria-label") or "" for plot in ElementTree.fromstring(page).iter(f"{SVG}svg")]
    assert len(labels) == 3 + 1 + 1 + 3, labels
    assert all(len(label) > 20 or "over time" in label for label in labels)


def test_names_from_outside_are_text_on_the_page() -> None:
    evil = "<script>alert(1)</script> $x_1$ &"
    one = run(service(model=evil), memory=(), side=None)
    value = one.to_dict()
    value["environment"]["host"] = evil
    value["services"][0]["service"] = evil
    drawn = report_html(result_report([value]))
    assert "<script" not in drawn
    assert text_of(drawn).count("alert(1)") >= 3


def test_one_run_has_a_page_without_intervals_and_a_warning_where_the_load_generator_held_it_back() -> None:
    held = replace(LOAD, bottleneck="it took a whole core.")
    drawn = report_html(result_report([run(service(load=held)).to_dict()]))
    assert "How the services do" in drawn
    assert "the load generator itself was the bottleneck in 1 runs: it took a whole core." in text_of(drawn)


def test_what_is_no_report_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleFilterError, match="takes the report that result_report returned"):
        report_html({"runs": []})
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AnsibleFilterError, match=r"drawn by Matplotlib, which the controller's Python .*does not have"):
        report_html(result_report([run().to_dict()]))


def test_latencies_that_differ_by_factors_are_on_a_logarithmic_axis_with_numbers_to_read() -> None:
    made = service()
    spread = [
        replace(one, inter_token_seconds=0.000002 if place == 0 else one.inter_token_seconds)
        for place, one in enumerate(made.requests)
    ]
    drawn = report_html(result_report([run(replace(made, requests=tuple(spread))).to_dict()]))
    assert "math" not in drawn
    assert "$" not in text_of(drawn)
    labels = [float(word) for word in re.findall(r">([0-9.]+)</text>", drawn)]
    assert {0.01, 0.1, 1, 10} <= set(labels)


# In a real browser


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_in_a_browser_no_plot_is_empty_and_nothing_is_complained_of(page: str, tmp_path: Path, colours: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    assert_shows(file, 8, colours)


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_can_be_read(page: str, tmp_path: Path, width: int, colours: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    assert unreadable(file, width, colours) == []


def test_the_browser_test_would_notice_a_complaint_and_an_empty_plot(tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text("<script>console.error('no')</script><img src='gone.png'><svg class='plot'><rect/></svg>")
    with opened(file) as shown:
        assert any("no" in complaint for complaint in shown.complaints)
        assert len(shown.requests) == 2
        assert shown.data_drawn(shown.plots()[0]) == 0


# In a play


def test_a_play_makes_the_report_in_all_its_forms(tmp_path: Path) -> None:
    for place, one in enumerate(turns(2)):
        (tmp_path / "runs").mkdir(exist_ok=True)
        (tmp_path / "runs" / f"{place}.json").write_text(json.dumps(one.to_dict()))
    tasks = [
        {
            "ansible.builtin.set_fact": {
                "judged": "{{ query('llmops.inference.result_history', 'runs')"
                " | llmops.inference.result_report(objectives=wanted, least_rounds=3) }}"
            }
        },
        *(
            {
                "ansible.builtin.copy": {
                    "content": f"{{{{ judged | {form} }}}}",
                    "dest": f"{{{{ playbook_dir }}}}/{name}",
                }
            }
            for name, form in {
                "report.json": "to_json",
                "report.html": "llmops.inference.report_html(history=[])",
                "objectives.xml": "llmops.inference.report_junit",
                "report.txt": "llmops.inference.report_table | join('\\n')",
            }.items()
        ),
    ]
    play = {"hosts": "localhost", "gather_facts": False, "vars": {"wanted": OBJECTIVES}, "tasks": tasks}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    collections = [path for path in sys.path if (Path(path) / "ansible_collections").is_dir()]
    env = os.environ | {"ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(collections), "LC_ALL": "C.UTF-8"}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "play.yml"]
    answer = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "Was it worth it?" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is False
    assert ElementTree.parse(tmp_path / "objectives.xml").getroot().get("tests") == "3"
    assert "2 pairs of runs; at least 3 are needed" in (tmp_path / "report.txt").read_text()
