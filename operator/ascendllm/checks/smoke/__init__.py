"""Smoke: does the server answer, under the right name, in the right shapes?

`table` lists the checks and says which of them decide; `groups` holds them; `run` takes them in
order on each server that `replicas` finds; `context` and `http` ask; `shapes` says what an answer
must look like; `prompts` and `patterns` are the user's own.
"""
