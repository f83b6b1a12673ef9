"""The checks that prove a model: smoke, mmlu and bench against any OpenAI-compatible server.

`result` and `judge` are shared with the operator and import nothing heavy; `runner` holds what
all checks have in common (time limit, signals, sinks); each check is a function that measures and
returns an `Outcome`, or raises `CheckError`, which becomes a result `Error`.
"""
