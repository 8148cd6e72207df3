"""Answers what CEL (PyPI cel-python) makes of the CRDs' rules: one JSON object a line in, one out.

in:  {"expression": "has(self.a)", "values": [{...}, ...]}
out: {"holds": [true, ...]}

An expression that fails to evaluate refuses its value, as in a Kubernetes API server.
"""
import json
import sys

import celpy
from celpy import celtypes


def substring(text, start, end):
    """Of Kubernetes' string library."""
    if int(end) > len(text):
        return celpy.CELEvalError("index out of range")
    return celtypes.StringType(text[int(start) : int(end)])


environment = celpy.Environment()


def holds(program, value):
    try:
        return bool(program.evaluate({"self": celpy.json_to_cel(value)}))
    except Exception:  # whatever CEL's evaluator raises, the value is refused
        return False


for line in sys.stdin:
    asked = json.loads(line)
    program = environment.program(environment.compile(asked["expression"]), functions={"substring": substring})
    sys.stdout.write(json.dumps({"holds": [holds(program, value) for value in asked["values"]]}) + "\n")
sys.stdout.flush()
