# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imported last by the process that engine cores and workers are forked from."""

from ansible_collections.llmops.inference.tests.bench.against_engine.warm_engines import stay_with_the_template

stay_with_the_template()
