"""What lm-eval itself makes of MMLU rows; run by the Python of vLLM's environment.

Reads `{"task": …, "subject": …, "shots": …, "dev": rows, "test": rows, "said": texts}` on stdin, a
row being `[question, [four choices], letter]`, and prints `{"prompts": …, "scores": …}`: the prompt
of each test row (a text, or the turns of a chat), and for each text that a model might write
whether it is right where A, B, C or D is. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

FILES = {
    "lmEval": "mmlu/default/mmlu_{}.yaml",
    "metaInstruct": "llama3/instruct/mmlu/mmlu_{}.yaml",
}


def main() -> None:
    """Answer the one question on stdin."""
    asked = json.load(sys.stdin)
    task = load_task(asked)
    chat = asked["task"] == "metaInstruct"
    prompts = [
        task.fewshot_context(
            doc,
            asked["shots"],
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
            chat_template=as_json if chat else None,
            gen_prefix=task.doc_to_prefix(doc),
        )
        for doc in task.test_docs()
    ]
    shown = [json.loads(prompt) if chat else prompt for prompt in prompts]
    scores = [[score(task, said, letter) for letter in range(4)] for said in asked["said"]]
    json.dump({"prompts": shown, "scores": scores}, sys.stdout)


def load_task(asked: dict[str, Any]) -> ConfigurableTask:
    """The task of a subject, over the rows that were given."""
    file = Path(lm_eval.tasks.__file__).parent / FILES[asked["task"]].format(asked["subject"])
    config = load_yaml(file, resolve_func=True)
    splits = {split: datasets.Dataset.from_list(rows(asked[split])) for split in ("dev", "test")}
    config["custom_dataset"] = lambda **_: datasets.DatasetDict(splits)
    config.pop("include", None)
    return ConfigurableTask(config=config)


def rows(given: list[list[Any]]) -> list[dict[str, Any]]:
    """As the columns of cais/mmlu."""
    return [
        {"question": question, "choices": choices, "answer": "ABCD".index(letter)}
        for question, choices, letter in given
    ]


def as_json(turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    """In the place of a chat template: the turns themselves."""
    return json.dumps({"turns": turns, "opens": add_generation_prompt})


def score(task: ConfigurableTask, said: str, letter: int) -> float:
    """What a written text counts where a letter is right."""
    doc = {"question": "?", "choices": ["", "", "", ""], "answer": letter}
    instance = Instance(request_type="generate_until", doc=doc, arguments=("", {}), idx=0)
    instance.resps = [said]
    instances = [instance]
    task._instances = instances
    task.apply_filters()
    name = task._filters[0].name
    return float(task.process_results(doc, [instance.filtered_resps[name]])["exact_match"])


main()
