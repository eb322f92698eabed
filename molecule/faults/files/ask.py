# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that asks a service for one token, again and again, and counts what it got.

Arguments: port, model, API key, and the file to write ``asked failed`` to, with the first failure behind.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request

port, model, key, counts = sys.argv[1:]
asked, failed, first = 0, 0, ""
body = json.dumps({"model": model, "prompt": "Hello", "max_tokens": 1}).encode()
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
while True:
    asked += 1
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", body, headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            tokens = json.load(response)["usage"]["completion_tokens"]
        if tokens != 1:
            raise ValueError(f"{tokens} tokens")
    except (OSError, ValueError, KeyError) as error:
        failed += 1
        first = first or str(error)
    with open(counts, "w", encoding="utf-8") as file:
        file.write(f"{asked} {failed} {first}")
    time.sleep(0.5)
