"""What the checks' fields may not be: each as the API server and as the models must refuse it."""

from __future__ import annotations

from typing import Any

__all__ = ["ACCEPTED", "BOUNDS", "RULES", "spec_with"]

S3 = {"uri": "s3://bucket/key"}
REFERENCE = {"configMap": "answers"}
PVC = {"pvc": {"claimName": "data"}}


def spec_with(path: str, value: Any, kind: str = "base") -> dict[str, Any]:
    """A spec with one field of its validation set, such as `bench.sweep`."""
    spec: dict[str, Any] = {
        "model": {"source": {"hostPath": "/opt/atomgit/llama"}, "kind": kind},
        "validation": {"smoke": {}},
    }
    node = spec["validation"]
    *parents, last = path.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    return spec


def chat(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


RULES: list[tuple[str, Any, str]] = [
    # smoke
    ("smoke.prompts", [{}], "give exactly one of prompt"),
    ("smoke.prompts", [{"prompt": "a", **chat("b")}], "give exactly one of prompt"),
    ("smoke.prompts", [{"prompt": "a" * 8000}] * 3, "at most 20,000 characters"),
    ("smoke.prompts", [chat("b")], "messages are a chat"),
    # bench
    ("bench", {"requests": 3}, "raise requests or lower concurrency"),
    ("bench", {"sweep": [1, 8], "concurrency": 8}, "concurrency and sweep exclude each other"),
    ("bench", {"sweep": [1, 21]}, "at least the largest concurrency of sweep"),
    ("bench", {"sweep": [1, 4, 1]}, "once: remove the second one"),
    (
        "bench",
        {"requestRate": 1, "rampUp": {"strategy": "linear", "startRps": 1, "endRps": 2}},
        "requestRate and rampUp exclude each other",
    ),
    ("bench", {"requestRate": 1, "sweep": [1]}, "at a rate no concurrency is a limit"),
    ("bench", {"requestRate": 1, "concurrency": 8}, "at a rate no concurrency is a limit"),
    ("bench", {"burstiness": 0.5}, "set requestRate or rampUp, or remove it"),
    (
        "bench",
        {"goodput": {"ttftMs": 1}, "requests": 20_001},
        "goodput is judged request by request, of at most 20000 requests",
    ),
    (
        "bench",
        {"goodput": {"ttftMs": 1}, "requests": 9_999, "sweep": [4, 8], "shards": 3},
        "goodput over shards is judged on at most 20000 requests",
    ),
    ("bench", {"requestRate": 1, "requests": 2, "shards": 3}, "at a rate: requests"),
    ("bench", {"goodput": {}}, "give at least one of ttftMs, tpotMs and e2elMs"),
    ("bench", {"dataset": {}}, "give exactly one data set: random: {} or sharegpt"),
    ("bench", {"dataset": {"random": {}, "sharegpt": PVC}}, "give exactly one data set"),
    ("bench", {"dataset": {"sharegpt": PVC}, "prefixTokens": 1}, "prefixTokens is about random"),
    ("bench", {"dataset": {"sharegpt": PVC}, "outputTokens": 64}, "brings its own lengths"),
    ("bench", {"dataset": {"sharegpt": PVC}, "inputTokens": 64}, "brings its own lengths"),
    ("bench", {"dataset": {"sharegpt": {**PVC, "s3": S3}}}, "pvc, image, hostPath or s3"),
    ("bench", {"shards": 5}, "each shard needs a request in flight"),
    ("bench", {"sweep": [2, 8], "shards": 3}, "each shard needs a request in flight"),
    ("bench.thresholds", {"meanTtft": {"max": 1}}, "figure"),
    ("bench.thresholds", {"meanTtftMs": {}}, "give min or max, or remove the figure"),
    ("bench.thresholds", {"meanTtftMs": {"min": 2, "max": 1}}, "min is above max"),
    ("bench.compareTo", {}, "give exactly one of name"),
    ("bench.compareTo", {"name": "a", "figures": {"duration": 1}}, "give exactly one of name"),
    ("bench.compareTo", {"figures": {"speed": 1}}, "figure"),
    # mmlu
    ("mmlu.protocol", "metaInstruct", "set model.kind to instruct if the model is one"),
    ("mmlu.subjects", ["anatomy", "anatomy"], "once: remove the second one"),
    ("mmlu.reference", {}, "give exactly one place of the reference: configMap or data"),
    ("mmlu.reference", {**REFERENCE, "data": PVC}, "configMap or data"),
    ("mmlu.reference", {"data": {}}, "give exactly one place: pvc, image, hostPath or s3"),
    (
        "mmlu",
        {"data": {"s3": S3}, "reference": {"data": {"s3": {**S3, "region": "a"}}}},
        "one endpoint, region and credentialsSecret",
    ),
    (
        "mmlu",
        {"data": {"s3": {**S3, "credentialsSecret": {"name": "a"}}}}
        | {"reference": {"data": {"s3": {**S3, "credentialsSecret": {"name": "b"}}}}},
        "one endpoint, region and credentialsSecret",
    ),
    ("mmlu.data", {"s3": S3, "image": "a"}, "give exactly one place: pvc, image, hostPath or s3"),
    # evals
    ("evals", [{"task": "gsm8k"}, {"task": "gsm8k", "shots": 1}], "each task may stand here once"),
    ("evals", [{"task": "gsm8k", "data": {}}], "give exactly one place: pvc, image or hostPath"),
    # parity
    ("parity", {"reference": {}}, "give exactly one place of the reference"),
    ("parity", {"reference": REFERENCE, "thresholds": {}}, "give at least one threshold"),
    # schedule
    ("schedule", "every day at noon", "must be a cron schedule of five fields"),
    ("schedule", "0 3 * * * *", "must be a cron schedule of five fields"),
    ("schedule", "60 * * * *", "must be a cron schedule of five fields"),
    ("schedule", "* 24 * * *", "must be a cron schedule of five fields"),
    ("schedule", "0 0 0 1 *", "must be a cron schedule of five fields"),
    ("schedule", "*/0 * * * *", "must be a cron schedule of five fields"),
    ("schedule", "0 0 L * *", "must be a cron schedule of five fields"),
    ("schedule", "0 3 * * mon\n", "must be a cron schedule of five fields"),
]
"""Field of validation, value, and what both refusals say."""

BOUNDS: list[tuple[str, Any]] = [
    ("smoke.prompts", []),
    ("smoke.prompts", [{"prompt": "a"}] * 21),
    ("smoke.prompts", [{"prompt": ""}]),
    ("smoke.prompts", [{"prompt": "a\x00"}]),
    ("smoke.prompts", [{"prompt": "a", "maxTokens": 0}]),
    ("smoke.prompts", [{"prompt": "a", "expect": "x" * 257}]),
    ("smoke.prompts", [{"messages": []}]),
    ("smoke.prompts", [{"messages": [{"role": "tool", "content": "a"}]}]),
    ("bench.sweep", []),
    ("bench.sweep", list(range(1, 12))),
    ("bench.sweep", [0]),
    ("bench.requestRate", 0),
    ("bench.requestRate", "inf"),
    ("bench.warmup", -1),
    ("bench.shards", 0),
    ("bench.shards", 17),
    ("bench.prefixTokens", -1),
    ("bench.rampUp", {"strategy": "steps", "startRps": 1, "endRps": 2}),
    ("bench.rampUp", {"strategy": "linear", "startRps": 1}),
    ("bench.goodput", {"ttftMs": 0}),
    ("bench.thresholds", {}),
    ("bench.thresholds", {"meanTtftMs": {"max": -1}}),
    ("bench.thresholds", {"meanTtftMs": 200}),
    ("bench.regression", {"tolerance": -1}),
    ("bench.regression", {"figures": []}),
    ("bench.regression", {"figures": ["totalInputTokens"]}),
    ("bench.compareTo", {"name": "Upper"}),
    ("bench.compareTo", {"name": "a" * 37}),
    ("bench.compareTo", {"figures": {}}),
    ("mmlu.protocol", "evalscope"),
    ("mmlu.subjects", []),
    ("mmlu.subjects", ["Abstract Algebra"]),
    ("mmlu.subjects", ["a,b"]),
    ("mmlu.baseline", {"value": 1, "average": "macro", "shots": 6}),
    ("mmlu.baseline", {"value": 1, "average": "macro", "protocol": "cot"}),
    ("mmlu.data", {"s3": {"uri": "https://bucket/key"}}),
    ("mmlu.data", {"s3": {"uri": "s3://Bucket"}}),
    ("mmlu.data", {"s3": {"uri": "s3://bucket/a\nb"}}),
    ("mmlu.data", {"s3": {**S3, "endpoint": "obs.example.com"}}),
    ("mmlu.data", {"s3": {**S3, "endpoint": "https://user:secret@obs.example.com"}}),
    ("mmlu.data", {"s3": {**S3, "endpoint": "https://obs.example.com/?a=b"}}),
    ("mmlu.data", {"s3": {**S3, "region": "a b"}}),
    ("mmlu.data", {"s3": {**S3, "credentialsSecret": {}}}),
    ("mmlu.reference", {"configMap": "Upper"}),
    ("mmlu.reference", {**REFERENCE, "model": "--model"}),
    ("evals", []),
    ("evals", [{"task": f"task{n}"} for n in range(11)]),
    ("evals", [{}]),
    ("evals", [{"task": "a,b"}]),
    ("evals", [{"task": "../tasks/own.yaml"}]),
    ("evals", [{"task": "--help"}]),
    ("evals", [{"task": "gsm8k", "filter": "a,b"}]),
    ("evals", [{"task": "gsm8k", "metric": "a=b"}]),
    ("evals", [{"task": "gsm8k", "shots": -1}]),
    ("evals", [{"task": "gsm8k", "limit": 0}]),
    ("evals", [{"task": "gsm8k", "baseline": 101}]),
    ("parity", {}),
    ("parity", {"reference": REFERENCE, "thresholds": {"minRankAgreement": 101}}),
    ("parity", {"reference": REFERENCE, "thresholds": {"maxMeanLogprobDifference": -1}}),
    ("schedule", "* * * *"),
    ("schedule", "* * * * " + "*," * 60 + "*"),
]
"""Field of validation, and a value out of its bounds."""

ACCEPTED: list[tuple[str, Any]] = [
    ("smoke.prompts", [{"prompt": "\U0001f600" * 1000}] * 20),
    ("smoke.prompts", [{"prompt": 'a\n\t"\\$(X)', "maxTokens": 4096, "expect": "[가-힣]+$"}]),
    ("smoke.parameters", False),
    ("bench.sweep", [1, 2, 4, 8, 16, 20]),
    ("bench", {"sweep": [1], "requests": 1}),
    ("bench", {"sweep": [2048, 4096], "requests": 100_000, "shards": 16}),
    ("bench", {"requestRate": 0.5, "burstiness": 0.1}),
    ("bench", {"rampUp": {"strategy": "exponential", "startRps": 1, "endRps": 100}}),
    ("bench", {"goodput": {"e2elMs": 0.5}, "requests": 20_000}),
    ("bench", {"goodput": {"e2elMs": 1}, "requests": 9_998, "sweep": [4, 8], "shards": 4}),
    ("bench", {"requestRate": 2, "requests": 3, "shards": 3}),
    ("bench.thresholds", {"longContext.ttftMs": {"max": 1e6}, "failed": {"max": 0}}),
    ("bench.regression", {}),
    ("bench.compareTo", {"name": "a" * 36}),
    ("bench.compareTo", {"figures": {"outputThroughput": 102, "meanTpotMs": 9.6}}),
    ("bench.dataset", {"sharegpt": {"s3": {"uri": "s3://bucket/Share GPT_V3 (unfiltered).json"}}}),
    (
        "mmlu.data",
        {"s3": {"uri": "s3://my.bucket-1", "endpoint": "http://localhost:9000/"}, "custom": True},
    ),
    ("mmlu.reference", {"data": {"image": "registry/answers:1"}}),
    ("mmlu", {"data": {"s3": S3}, "reference": {"data": {"s3": {"uri": "s3://other/answers"}}}}),
    ("parity", {"reference": {"data": {"s3": S3}}}),
    ("mmlu.baseline", {"value": 66.7, "average": "macro", "protocol": "lmEval", "shots": 5}),
    ("mmlu.baseline", {"value": 66.7, "average": "macro", "shots": 0, "acrossProtocols": True}),
    ("evals", [{"task": f"leaderboard_math-{n}.hard"} for n in range(10)]),
    ("parity", {"reference": REFERENCE, "thresholds": {"maxP99LogprobDifference": 1e-9}}),
    ("schedule", "0 3 * * 1"),
    ("schedule", "*/15 0-6,20-23/2 1,15,31 JAN-mar Mon-Fri"),
    ("schedule", "59 23 31 12 7"),
]
"""What stands at the edge, and passes."""
