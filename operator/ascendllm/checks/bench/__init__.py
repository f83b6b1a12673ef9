"""Throughput and latency, with the definitions and names of `vllm bench serve` 0.18.0.

`run` is the check. Before the load: `options` (what can't be measured), `asked` (what is said of
them), `addresses` (the replicas), `datasets` (prompts of known length), `schedule` (when requests
are due), `loads` (who sends what).
The load: `load` (one process, and how it is driven), `crew` (pods that share it). After it:
`measured` and `tally` (what was counted, merged exactly), `figures`, `traffic` (other clients).
"""
