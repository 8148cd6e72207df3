"""Answers what the real RE2 says of patterns: one JSON object a line in, one out.

in:  {"pattern": "...", "inputs": ["...", ...]}
out: {"ok": true, "size": 12, "matches": [true, ...], "spans": [[0, 2] | null, ...]}   or   {"ok": false, "error": "..."}

Options as Envoy has them: RE2::Quiet, so UTF-8, Perl syntax, 8 MiB for the program.
"""
import json
import sys

import re2

options = re2.Options()
options.log_errors = False

for line in sys.stdin:
    asked = json.loads(line)
    try:
        compiled = re2.compile(asked["pattern"], options)
    except re2.error as error:
        text = error.args[0] if error.args else ""
        answer = {"ok": False, "error": text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)}
    else:
        found = [compiled.search(text) for text in asked["inputs"]]
        answer = {
            "ok": True,
            "size": compiled.programsize,
            "matches": [compiled.fullmatch(text) is not None for text in asked["inputs"]],
            "spans": [None if match is None else list(match.span()) for match in found],
        }
    sys.stdout.write(json.dumps(answer) + "\n")
sys.stdout.flush()
