"""The proof as a document: what stands in it, in both forms, and that nothing in it can run."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ascendllm.api.status import Status
from ascendllm.report.document import document
from ascendllm.report.html import html
from ascendllm.report.markdown import markdown

RUN = {
    "result": "Passed",
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": "2026-01-01T00:10:00Z",
    "attempt": 1,
    "harness": "ascendllm 0.1.0",
    "protocolNumber": 2,
    "inputsHash": "0123456789",
}
POINT = {
    "concurrency": 4,
    "completed": 20,
    "duration": 14.4,
    "requestThroughput": 1.39,
    "outputThroughput": 177.75,
    "totalTokenThroughput": 295.79,
    "meanTtftMs": 50.5,
    "p99TtftMs": 60.25,
    "meanTpotMs": 22.49,
    "p99TpotMs": 23.0,
    "meanItlMs": 22.4,
    "meanE2elMs": 2879.12,
    "p99E2elMs": 2909.23,
}
STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Passed",
            "message": "served and proven",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
    "url": "http://llama.default.svc:8000",
    "model": "meta-llama-3.1-8b",
    "npus": 1,
    "verdict": "Passed",
    "readyReplicas": 1,
    "servedRevision": "05b398a5b0",
    "startup": {"launchSeconds": 61.5},
    "runtime": {
        "image": "quay.io/ascend/vllm-ascend:v0.18.0rc1-a3",
        "imageID": "sha256:aaaa",
        "vllm": "0.18.0+empty",
        "vllmAscend": "0.18.0rc1",
        "torchNpu": "2.9.0.post1+gitee7ba04",
        "transformers": "4.57.6",
        "cann": "8.5.1",
        "soc": "ascend910_9391",
        "arch": "aarch64",
        "devices": ["Ascend910-4", "Ascend910-5"],
    },
    "validation": {
        "smoke": {
            **RUN,
            "checks": [
                {"name": "health", "result": "Passed", "latencyMs": 1.5},
                {"name": "stop", "result": "Failed", "expected": "stop", "seen": "length"},
            ],
        },
        "bench": {
            **RUN,
            **POINT,
            "failed": 0,
            "inputTokens": 128,
            "outputTokens": 128,
            "medianTtftMs": 49.0,
            "stdTtftMs": 2.5,
            "requestGoodput": 1.2,
            "sweep": [{**POINT, "concurrency": 1}, POINT],
            "longContext": {"inputTokens": 4000, "outputTokens": 96, "ttftMs": 900.5},
            "comparison": [
                {
                    "figure": "outputThroughput",
                    "before": 102,
                    "after": 158,
                    "changePercent": 54.9,
                },
                {"figure": "meanTpotMs", "before": 9.6, "after": 6.1, "changePercent": -36.46},
            ],
        },
        "mmlu": {
            **RUN,
            "macroAverage": 66.3,
            "microAverage": 65.4,
            "baseline": 66.7,
            "baselineAverage": "macro",
            "delta": -0.4,
            "tolerance": 1.0,
            "standardError": 0.49,
            "questions": 14042,
            "subjectCount": 57,
            "datasetHash": "sha256:bbbb",
            "customData": True,
            "protocol": "lmEval",
            "shots": 5,
            "method": "allowedTokens",
            "paired": {
                "questions": 1140,
                "looks": 2,
                "better": 3,
                "worse": 5,
                "flipRate": 0.7,
                "delta": -0.18,
                "lower": -0.6,
                "upper": 0.24,
            },
        },
        "evals": {
            **RUN,
            "result": "Failed",
            "message": "gsm8k 62.93 against 92.72",
            "lmEvalVersion": "0.4.12",
            "tasks": [
                {
                    "task": "gsm8k",
                    "version": "3",
                    "filter": "strict-match",
                    "metric": "exact_match",
                    "value": 62.93,
                    "standardError": 1.33,
                    "shots": 5,
                    "samples": 100,
                    "questions": 1319,
                    "baseline": 92.72,
                    "delta": -29.79,
                    "tolerance": 1.0,
                    "result": "Failed",
                },
                {"task": "wikitext", "metric": "word_perplexity", "value": 8.1234, "unit": "raw"},
            ],
        },
        "parity": {
            **RUN,
            "prompts": 8,
            "tokens": 512,
            "rankAgreement": 99.61,
            "perplexity": 7.1234,
            "referencePerplexity": 7.1225,
            "perplexityDifference": 0.0126,
            "meanLogprobDifference": 0.0031,
            "p99LogprobDifference": 0.02,
            "maxLogprobDifference": 0.11,
            "firstDivergence": {"diverged": 1, "earliest": 17, "median": 17.0},
            "thresholdsFrom": "control",
            "thresholds": {"minRankAgreement": 99.5, "maxPerplexityDifference": 0.1},
        },
    },
    "history": [
        {
            "check": "mmlu",
            "revision": "05b398a5b0",
            "result": "Passed",
            "finishedAt": "2026-01-01T00:10:00Z",
        }
    ],
}
RESOURCE: dict[str, Any] = {
    "metadata": {"name": "llama", "namespace": "default", "generation": 1},
    "spec": {
        "validation": {
            "mmlu": {"baseline": {"source": "Meta, Llama 3.1 evaluation details"}},
        }
    },
    "status": STATUS,
}
TEMPLATE = {
    "spec": {
        "containers": [
            {
                "name": "vllm",
                "args": ["vllm", "serve", "/opt/atomgit/My Llama", "--seed=1024"],
                "env": [
                    {"name": "OMP_NUM_THREADS", "value": "1"},
                    {"name": "HF_TOKEN", "value": "hf_abc"},
                    {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
                ],
                "resources": {"limits": {"huawei.com/Ascend910": "1"}},
            }
        ]
    }
}
SUBJECTS = "abstract_algebra   30/100   30.0\n"


class Page(HTMLParser):
    """What a browser would see: elements, their attributes, and the text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append(data)


def both(resource: dict[str, Any]) -> tuple[str, Page]:
    made = document(resource, subjects=SUBJECTS, template=TEMPLATE)
    return markdown(made), Page(html(made))


def test_the_status_is_one_that_the_operator_can_write() -> None:
    Status.model_validate(STATUS)


@pytest.mark.parametrize(
    "line",
    [
        "# meta-llama-3.1-8b",
        "Verdict: **Passed**",
        "Ready: True (Passed): served and proven",
        "| vLLM-Ascend | 0.18.0rc1 |",
        "| CANN | 8.5.1 |",
        "| SOC | ascend910_9391 |",
        "| Devices | Ascend910-4, Ascend910-5 |",
        "| Launch | 61.5 s |",
        "| Check | Result | Latency (ms) | Expected | Seen |",
        "| stop | Failed | - | stop | length |",
        "| Figure | Here | Baseline | Difference |",
        "| Macro average | 66.30 % | 66.70 % | -0.40 |",
        "| Micro average | 65.40 % | - | - |",
        "| Source of the baseline | Meta, Llama 3.1 evaluation details |",
        "| Bounds | -0.60 to +0.24 points |",
        "The data is custom: it is not the published MMLU.",
        "abstract_algebra   30/100   30.0",
        "| Output throughput | 177.75 tok/s |",
        "| Requests that kept to goodput | 1.20 req/s |",
        "| TTFT | 50.50 | 49.00 | 2.50 | 60.25 |",
        "| 4 | 20 | 1.39 | 177.75 | 295.79 | 50.50 | 60.25 | 22.49 | 23.00 | 2879.12 | 2909.23 |",
        "| 4000 | 96 | 900.50 | - | - |",
        "| outputThroughput | 102.00 | 158.00 | +54.90 % |",
        "| meanTpotMs | 9.60 | 6.10 | -36.46 % |",
        "| gsm8k | 3 | strict-match | 5 | exact_match | 100 of 1319 | 62.93 % | 1.33 | 92.72 | "
        "-29.79 | 1.00 | Failed |",
        "| wikitext | - | - | - | word_perplexity | - | 8.1234 | - | - | - | - | - |",
        "| Tokens of a prompt / an answer | 128 / 128 |",
        "| First choice agrees (teacher-forced) | 99.61 % | at least 99.5 % |",
        "| Perplexity, difference | +0.0126 % | at most 0.1 % |",
        "The bounds are those of the reference's control run.",
        "| First divergence | 1 of 8 answers differ; earliest at token 17, median 17.0 |",
        "| mmlu | - | 1 | 2026-01-01T00:00:00Z | 2026-01-01T00:10:00Z | ascendllm 0.1.0 | 2 | "
        "sha256:bbbb | 0123456789 |",
        "vllm serve '/opt/atomgit/My Llama' \\",
        "export OMP_NUM_THREADS=1",
        "Each pod takes 1 x huawei.com/Ascend910; the device plugin chooses which.",
    ],
)
def test_it_says(line: str) -> None:
    text, page = both(RESOURCE)
    assert line in text.splitlines()
    seen = "".join(page.texts)
    for cell in line.strip("#|*").split(" | "):
        assert cell.replace("**", "").strip() in seen


def test_no_secret_is_passed_on() -> None:
    text, page = both(RESOURCE)
    assert "export HF_TOKEN=<not shown>" in text.splitlines()
    assert "hf_abc" not in text
    assert "hf_abc" not in "".join(page.texts)


HOSTILE = (
    "<script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "a | b | c",
    "```\n# heading",
    "**bold** `code` _it_ &lt;",
    "line\nline\r\n## heading",
)


def poisoned(value: Any, text: str) -> Any:
    """The value with every string in it replaced, wherever a model or user may have a say."""
    if isinstance(value, dict):
        return {key: poisoned(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, text) for item in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_wrote_stays_text(text: str) -> None:
    resource = poisoned(copy.deepcopy(RESOURCE), text)
    # The checks' names are keys of ours; the condition is found by its type.
    resource["status"]["conditions"][0]["type"] = "Ready"
    made = document(resource, subjects=text, template=poisoned(TEMPLATE, text))
    page = Page(html(made))
    assert set(page.elements) <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "table", "tr",
        "th", "td", "pre",
    }  # fmt: skip
    assert {name for name, _ in page.attributes} <= {"lang", "charset", "name", "content"} | {
        "http-equiv",
        "class",
    }
    outside = re.sub(r"^(`{3,})$.*?^\1$", "", markdown(made), flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"(?<!\\)[<`]", outside)
    assert not re.search(r"(?<!\\)\]\(", outside)
    assert "## heading" not in outside.splitlines()
    rows = [line for line in outside.splitlines() if line.startswith("| Resource")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [3]


def test_a_page_loads_nothing() -> None:
    text = html(document(RESOURCE))
    assert "default-src 'none'" in text
    assert "src=" not in text.replace("default-src=", "")
    assert "url(" not in text
    assert "@import" not in text
    assert text.startswith("<!DOCTYPE html>\n")


@pytest.mark.parametrize("status", [{}, {"validation": {"mmlu": {"result": "Pending"}}}])
def test_before_anything_is_known(status: dict[str, Any]) -> None:
    resource = {"metadata": {"name": "llama", "namespace": "default", "generation": 2}}
    made = document({**resource, "status": status})
    text = markdown(made)
    assert text.startswith("# llama\n\nVerdict: **None**\n")
    assert "This is of an older generation of the resource" in text
    assert Page(html(made)).elements.count("h2") >= 1


@pytest.mark.parametrize("check", ["smoke", "bench", "mmlu", "evals", "parity"])
def test_figures_of_another_form_are_left_out(check: str) -> None:
    """A status that another version wrote does not break the report."""
    broken = {key: "?" for key in STATUS["validation"][check]} | {"result": "Error"}
    resource = {**RESOURCE, "status": {**STATUS, "validation": {check: broken}}}
    text, page = both(resource)
    assert "**Error**" in text
    assert page.elements
