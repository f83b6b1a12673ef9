"""Fixed plain text for the perplexity, and how a text is cut into windows.

The built-in text is put together from words by rule, in four languages and numbers: more than
12,000 tokens of Llama 3's tokenizer (estimated). It says nothing of how well a model knows a
language; it gives both sides the same tokens to score, and that is all that a comparison needs.
Give `--text FILE` for a text of your own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ascendllm.exceptions import SpecError

__all__ = ["built_in_text", "read_text", "windows"]

TEXT_BYTES = 16 * 1024 * 1024
WINDOW_CHARACTERS = 1600
"""Of ASCII text; a character beyond it counts for three, as it takes more tokens."""

PARAGRAPHS = 120
_SENTENCES = 7

_ENGLISH = (
    ("The old", "A young", "Every careful", "One tired", "The second", "Her favourite"),
    ("farmer", "engineer", "teacher", "river", "library", "sailor", "committee", "garden"),
    ("carried", "measured", "remembered", "crossed", "repaired", "described", "followed"),
    (
        "the wooden bridge",
        "seven boxes of apples",
        "a letter from the north",
        "the long road",
        "an unusual map",
        "the morning train",
        "a bowl of warm soup",
        "the broken clock",
    ),
    (
        "before the rain came",
        "because nobody else could",
        "while the children slept",
        "although it was late",
        "after the market closed",
        "without a single word",
    ),
)
_KOREAN = (
    ("오래된", "젊은", "조용한", "부지런한", "작은"),
    ("농부가", "선생님이", "학생이", "의사가", "어부가", "목수가"),
    ("아침마다", "비가 온 뒤에", "시장이 닫힌 다음", "아무 말 없이", "먼 길을 걸어서"),
    ("나무 다리를", "따뜻한 국을", "북쪽에서 온 편지를", "낡은 시계를", "사과 일곱 상자를"),
    ("고쳤습니다", "옮겼습니다", "기억했습니다", "그렸습니다", "나누어 주었습니다"),
)
_CHINESE = (
    ("年老的", "年轻的", "细心的", "安静的", "勤劳的"),
    ("农民", "老师", "工程师", "医生", "渔夫", "学生"),
    ("每天早上", "下雨之后", "市场关门以后", "一句话也没说就", "走了很远的路才"),
    ("修好了", "搬走了", "记住了", "画下了", "打开了"),
    ("那座木桥", "七箱苹果", "北方来的信", "旧时钟", "一碗热汤"),
)
_GERMAN = (
    ("Der alte", "Ein junger", "Jeder fleißige", "Der zweite"),
    ("Bauer", "Lehrer", "Ingenieur", "Fischer", "Nachbar"),
    ("trug", "reparierte", "beschrieb", "vergaß", "fand"),
    ("die hölzerne Brücke", "sieben Kisten Äpfel", "den Brief aus dem Norden", "die alte Uhr"),
    ("bevor der Regen kam", "obwohl es spät war", "während die Kinder schliefen"),
)
_LANGUAGES = ((_ENGLISH, " ", "."), (_KOREAN, " ", "."), (_CHINESE, "", "。"), (_GERMAN, " ", "."))


def built_in_text() -> str:
    """The same text each time: paragraphs of one language after the other, with numbers between."""
    draw = _draws()
    paragraphs = []
    for number in range(PARAGRAPHS):
        words, space, stop = _LANGUAGES[number % len(_LANGUAGES)]
        sentences = [
            space.join(choice[next(draw) % len(choice)] for choice in words) + stop
            for _ in range(_SENTENCES)
        ]
        first, second = next(draw) % 90 + 10, next(draw) % 90 + 10
        sentences.append(f"{first} + {second} = {first + second}; {first} * 3 = {first * 3}.")
        paragraphs.append((space or "").join(sentences))
    return "\n\n".join(paragraphs)


def read_text(path: Path) -> str:
    """Read a text of one's own.

    Raises:
        SpecError: `BadText`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(TEXT_BYTES + 1)
        text = raw.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("BadText", f"--text {path}: {error}") from None
    if not text or len(raw) > TEXT_BYTES:
        raise SpecError("BadText", f"--text {path}: must hold from 1 to {TEXT_BYTES} bytes")
    return text


def windows(text: str) -> list[str]:
    """Cut a text where words end, into parts of at most about a thousand tokens."""
    parts: list[str] = []
    part, size = [""], 0
    for word in _words(text):
        weight = sum(1 if ord(character) < 128 else 3 for character in word)
        if size and size + weight > WINDOW_CHARACTERS:
            parts.append("".join(part))
            part, size = [], 0
        part.append(word)
        size += weight
    parts.append("".join(part))
    return [found for part in parts if (found := part.strip())]


def _words(text: str) -> Iterator[str]:
    """Words with the space behind them; what has no spaces is cut after 100 characters."""
    start = 0
    for position, character in enumerate(text):
        if character.isspace() or position - start >= 100:
            yield text[start : position + 1]
            start = position + 1
    yield text[start:]


def _draws() -> Iterator[int]:
    """Fixed pseudo-random numbers (the linear congruential generator of C11's example)."""
    state = 20240613
    while True:
        state = (state * 1103515245 + 12345) % 2**31
        yield state >> 16
