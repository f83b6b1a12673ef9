"""`python -m lm_eval run --config FILE`: asks, scores, writes what lm-eval writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lm_eval.tasks import TASKS

CHOSEN: dict[str, Any] = json.loads(os.environ.get("LM_EVAL_STAND_IN", "{}"))
QUESTIONS = 6
GROUPS = {"many": ["sums", "sums_zero"], "loose": ["sums", "sums_zero"]}


def main() -> None:
    assert sys.argv[1:3] == ["run", "--config"], sys.argv
    config = json.loads(Path(sys.argv[3]).read_text())
    if note := CHOSEN.get("note"):
        seen = {"environment": dict(os.environ), "config": config, "cwd": os.getcwd()}
        Path(note).write_text(json.dumps(seen | {"arguments": sys.argv}))
    [name] = set(config["tasks"])
    leaves = GROUPS.get(name, [name])
    if "words" in CHOSEN:
        print(CHOSEN["words"], file=sys.stderr, flush=True)
    if "child" in CHOSEN:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(CHOSEN["child"]).write_text(str(child.pid))
    if "hang" in CHOSEN:
        time.sleep(600)
    if "exit" in CHOSEN:
        sys.exit(CHOSEN["exit"])
    answers = {leaf: ask_all(config, leaf) for leaf in leaves}
    write(config, name, leaves, answers)


def ask_all(config: dict[str, Any], leaf: str) -> list[str]:
    number = min(config.get("limit", QUESTIONS), QUESTIONS)
    sent = number - CHOSEN.get("unasked", 0)
    print(f"Requesting API:   0%|          | 0/{sent} [00:00<?, ?it/s]\r", file=sys.stderr)
    with ThreadPoolExecutor(config["model_args"]["num_concurrent"]) as pool:
        found = list(pool.map(lambda n: ask(config, leaf, n), range(sent)))
    return found + ["made up"] * (number - sent)


def ask(config: dict[str, Any], leaf: str, number: int) -> str:
    arguments = config["model_args"]
    scored = (TASKS[leaf].cfg or {}).get("output_type") == "multiple_choice"
    body: dict[str, Any] = {"model": arguments["model"], "temperature": 0}
    if scored:
        ids = tokenize(arguments["base_url"], f"Question {number} Answer A")
        body |= {"prompt": [ids], "max_tokens": 1, "logprobs": 1, "echo": True}
    elif "chat" in arguments["base_url"]:
        body |= {"messages": [{"role": "user", "content": f"{leaf} {number}"}], "max_tokens": 4}
    else:
        body |= {"prompt": f"{leaf} {number}", "max_tokens": 4}
    answer = post(arguments["base_url"], body)
    choice = answer["choices"][0]
    if scored:
        values = choice["logprobs"]["token_logprobs"]
        assert len(values) == len(body["prompt"][0]) + 1, "a position was added or lost"
        return "right" if sum(values[-2:-1]) > -1 else "wrong"
    text = choice["message"]["content"] if "chat" in arguments["base_url"] else choice["text"]
    return str(text)


def tokenize(base_url: str, text: str) -> list[int]:
    root = base_url.replace("/v1/completions", "")
    with urllib.request.urlopen(f"{root}/tokenizer_info") as answer:
        assert "bos_token" in json.load(answer)
    tokens = post(f"{root}/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"]
    return list(tokens)


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return dict(json.load(answer))


def write(
    config: dict[str, Any], name: str, leaves: list[str], answers: dict[str, list[str]]
) -> None:
    folder = Path(config["output_path"]) / "model"
    folder.mkdir(parents=True)
    filters = {leaf: filters_of(leaf) for leaf in leaves}
    shares = {
        leaf: sum("right" in a for a in answers[leaf]) / len(answers[leaf]) for leaf in leaves
    }
    results: dict[str, Any] = {}
    for leaf in leaves:
        results[leaf] = {"name": leaf, "alias": leaf, "sample_len": len(answers[leaf])}
        metric = "acc" if leaf == "letters" else "bleu" if leaf == "bleu" else "exact_match"
        for chosen in filters[leaf]:
            results[leaf] |= {
                f"{metric},{chosen}": 31.7 if metric == "bleu" else shares[leaf],
                f"{metric}_stderr,{chosen}": CHOSEN.get("stderr", 0.25),
            }
    groups = {}
    if name == "many":
        mean = sum(shares.values()) / len(shares)
        groups = {name: {"name": name, "exact_match,none": mean, "exact_match_stderr,none": "N/A"}}
    given = config.get("num_fewshot")
    data = {
        "results": results | groups,
        "groups": groups,
        "versions": dict.fromkeys(leaves, 3.0),
        "n-shot": {leaf: shots_of(leaf, given) for leaf in leaves},
        "higher_is_better": {leaf: {"exact_match": True} for leaf in leaves},
        "n-samples": {
            leaf: {
                "original": QUESTIONS,
                "effective": len(answers[leaf]) - CHOSEN.get("uncounted", 0),
            }
            for leaf in leaves
        },
        "task_hashes": {leaf: "ab" * 32 for leaf in leaves},
        "lm_eval_version": "0.4.12",
    }
    if "results" in CHOSEN:
        (folder / "results_1.json").write_text(CHOSEN["results"])
    else:
        (folder / "results_1.json").write_text(json.dumps(data))
    for leaf in leaves:
        with (folder / f"samples_{leaf}_2026.jsonl").open("w") as file:
            for chosen in filters[leaf]:
                for number, answer in enumerate(answers[leaf]):
                    line = {"doc_id": number, "resps": [[answer]], "filter": chosen}
                    file.write(json.dumps(line) + "\n")


def filters_of(leaf: str) -> list[str]:
    listed = (TASKS[leaf].cfg or {}).get("filter_list") or [{"name": "none"}]
    return [item["name"] for item in listed]


def shots_of(leaf: str, given: int | None) -> int:
    own = (TASKS[leaf].cfg or {}).get("num_fewshot")
    return own if own == 0 or given is None else given


main()
