"""How fast and how large the product is: measured, and shown beside the limits.

    python tests/bench                       # everything; `make bench`
    python tests/bench latency mmlu          # some of it
    python tests/bench --json FILE           # and the figures for programs

It measures and judges nothing: a figure beyond its limit is shown as such, and the exit code is 0.

figures                     what a measurement gives, the table and the JSON
machine                     what it was measured on: cores, load, a process's memory
audit                       requests as the API server's audit log tells them
installation                a control plane with our CRD and the operator's rights
operator_process            `ascendllm operator` as a process of its own
latency, start, rest        the operator against a real API server
mmlu                        the runner of questions against the simulator
lm_eval                     the same beside lm-eval, on the real vLLM
bench_client, bench_server  our bench and vllm's, against a server of exactly known timing
render                      one resource, no server
node                        a whole bare cluster, up and down (root)
cli                         which of them are run
"""
