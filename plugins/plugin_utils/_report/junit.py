# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives as JUnit XML, the form that CI systems read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from ansible_collections.llmops.inference.plugins.plugin_utils._report.objectives import FAILED, NOT_MEASURED

# What XML 1.0 cannot carry, however it is written; journals have it.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(host: str, objectives: Sequence[Mapping[str, Any]]) -> str:
    """Return the XML: a suite per service, a case per objective, an error for one that was not measured."""
    suites = ElementTree.Element("testsuites", name=_clean(f"objectives of {host}"))
    for service in dict.fromkeys(item["service"] for item in objectives):
        _suite(suites, host, service, [item for item in objectives if item["service"] == service])
    for name in ("tests", "failures", "errors"):
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _suite(suites: ElementTree.Element, host: str, service: str, items: Sequence[Mapping[str, Any]]) -> None:
    counts = {"failures": FAILED, "errors": NOT_MEASURED}
    suite = ElementTree.SubElement(suites, "testsuite", name=_clean(f"{host}: {service}"), tests=str(len(items)))
    for name, outcome in counts.items():
        suite.set(name, str(sum(item["outcome"] == outcome for item in items)))
    for item in items:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(f"{host}.{service}.{item['scenario']}"), name=_clean(item["text"])
        )
        if item["outcome"] in counts.values():
            kind = "failure" if item["outcome"] == FAILED else "error"
            problem = ElementTree.SubElement(case, kind, type=item["outcome"].replace(" ", "_"))
            problem.set("message", _clean(item["reason"]))
        else:
            ElementTree.SubElement(case, "system-out").text = _clean(item["reason"])


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
