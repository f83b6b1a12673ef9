"""What is asked where no file says otherwise, and the file that says it.

The questions are of seed 001's kind: short, in several languages, Korean first among them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ascendllm.checks.parity.source import Prompt
from ascendllm.exceptions import SpecError

__all__ = ["built_in", "read_prompts"]

PROMPTS_BYTES = 4 * 1024 * 1024
MOST_PROMPTS = 1000

_QUESTIONS = {
    "korean-introduction": "안녕하세요, 자기소개 해주세요.",
    "korean-seasons": "한국의 사계절에 대해 설명해 주세요.",
    "korean-sum": "사과 세 개와 배 다섯 개를 사면 과일은 모두 몇 개인가요?",
    "chinese-sum": "1+1等于几?请用中文回答。",
    "chinese-water": "请解释水为什么会结冰。",
    "english-capital": "What is the capital of France, and which river runs through it?",
    "english-sky": "Explain in a few sentences why the sky is blue.",
    "english-sum": "A train leaves at 9:40 and arrives at 13:05. How long does it travel?",
    "english-letter": "Write a short letter that thanks a neighbour for watering the plants.",
    "japanese-tea": "お茶の入れ方を教えてください。",
    "german-bread": "Wie backt man ein einfaches Brot?",
    "french-week": "Quels sont les jours de la semaine ?",
    "spanish-sea": "¿Por qué es salada el agua del mar?",
    "russian-winter": "Почему зимой холоднее, чем летом?",
    "python-primes": "Write a Python function that returns all primes below n.",
    "sql-count": "Write an SQL query that counts the orders of each customer.",
}

_OPENINGS = {
    "korean-story": "옛날 옛적 깊은 산속에 호랑이 한 마리가 살고 있었습니다. 어느 날",
    "korean-city": "서울은 대한민국의 수도이며,",
    "korean-sum": "사과 세 개와 배 다섯 개를 사면 과일은 모두",
    "chinese-water": "水在零摄氏度以下会结冰,这是因为",
    "chinese-city": "北京是中国的首都,",
    "english-capital": "The capital of France is",
    "english-sky": "The sky is blue because",
    "english-sum": "One, two, three, four, five, six,",
    "english-story": "The old lighthouse keeper climbed the stairs one last time and",
    "japanese-tea": "お茶を入れるには、まず",
    "german-bread": "Um ein einfaches Brot zu backen, braucht man",
    "french-week": "Les jours de la semaine sont lundi, mardi,",
    "spanish-sea": "El agua del mar es salada porque",
    "russian-winter": "Зимой холоднее, чем летом, потому что",
    "python-primes": 'def primes(n):\n    """Return all primes below n."""\n',
    "sql-count": "-- The number of orders of each customer\nSELECT",
}


def built_in(kind: Literal["base", "instruct"]) -> list[Prompt]:
    """Sixteen prompts: openings to go on with for a base model, questions for one that chats."""
    if kind == "base":
        return [Prompt(name, text) for name, text in _OPENINGS.items()]
    return [
        Prompt(name, text, ({"role": "user", "content": text},))
        for name, text in _QUESTIONS.items()
    ]


def read_prompts(path: Path) -> list[Prompt]:
    """Read a file of JSON lines, each `{"prompt": text}` or `{"messages": […]}`, `id` if wanted.

    Raises:
        SpecError: `BadPrompts`, naming the line and the rule.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(PROMPTS_BYTES + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("BadPrompts", f"--prompts {path}: {error}") from None
    if len(raw) > PROMPTS_BYTES:
        raise SpecError("BadPrompts", f"--prompts {path}: longer than {PROMPTS_BYTES} bytes")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not 1 <= len(lines) <= MOST_PROMPTS:
        raise SpecError(
            "BadPrompts", f"--prompts {path}: {len(lines)} prompts; from 1 to {MOST_PROMPTS}"
        )
    prompts = [_prompt(path, number, line) for number, line in lines]
    names = [prompt.id for prompt in prompts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError("BadPrompts", f"--prompts {path}: id {twice[0]!r} is given twice")
    return prompts


def _prompt(path: Path, number: int, line: str) -> Prompt:
    where = f"--prompts {path}, line {number}"
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not data.keys() <= {"id", "prompt", "messages"}:
        raise SpecError(
            "BadPrompts", f'{where}: give {{"prompt": "…"}} or {{"messages": […]}}, and "id"'
        )
    name = data.get("id", f"prompt-{number}")
    if not isinstance(name, str) or not 1 <= len(name) <= 100:
        raise SpecError("BadPrompts", f"{where}: id must be a text of 1 to 100 characters")
    text, messages = data.get("prompt"), data.get("messages")
    if isinstance(text, str) and text and messages is None:
        return Prompt(name, text)
    if text is None and isinstance(messages, list) and messages:
        read = tuple(_message(where, message) for message in messages)
        return Prompt(name, read[-1]["content"], read)
    raise SpecError("BadPrompts", f"{where}: give either prompt (a text) or messages (a list)")


def _message(where: str, message: object) -> Mapping[str, str]:
    if isinstance(message, dict) and message.keys() == {"role", "content"}:
        role, content = message["role"], message["content"]
        if role in ("system", "user", "assistant") and isinstance(content, str) and content:
            return {"role": role, "content": content}
    raise SpecError(
        "BadPrompts", f'{where}: a message is {{"role": "user", "content": "…"}} and no more'
    )
