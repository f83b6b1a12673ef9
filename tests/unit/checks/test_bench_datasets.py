from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ascendllm.checks.bench.datasets import (
    DatasetOptions,
    Prompt,
    long_context_prompt,
    make_dataset,
)
from ascendllm.checks.bench.datasets.conversation_file import open_conversations
from ascendllm.checks.bench.datasets.random_prompts import PIECES, random_prompts
from ascendllm.checks.client import Client, open_session
from ascendllm.checks.endpoint import parse_endpoint
from ascendllm.checks.retry import RetryPolicy
from ascendllm.exceptions import CheckError, SpecError
from unit.checks.fake_server import FakeServer

QUICK = RetryPolicy(attempts=2, first=0.01, longest=0.02)


@contextlib.asynccontextmanager
async def client_of(server: FakeServer) -> AsyncIterator[Client]:
    async with server.serve(), open_session(8) as session:
        yield Client(session, parse_endpoint(server.url, "m"), QUICK)


class Counting(FakeServer):
    """Tokenizes by a rule of the test; the rule sees the text and gives the ids."""

    def __init__(self, rule: Any) -> None:
        super().__init__()
        self.rule = rule

    def ids(self, text: str) -> list[int]:
        return list(self.rule(text))


# Random prompts


@pytest.mark.parametrize(
    ("count", "tokens", "requests"),
    [(20, 128, 22), (1, 100_000, 3), (6000, 64, 66), (3, 20_000, 5)],
)
async def test_lengths_are_exact_and_counting_is_cheap(
    count: int, tokens: int, requests: int
) -> None:
    server = FakeServer()
    async with client_of(server) as client:
        made = await random_prompts(client, count, input_tokens=tokens, output_tokens=7)
    assert {len(server.ids(prompt.text)) for prompt in made} == {tokens}
    assert {(prompt.input_tokens, prompt.output_tokens) for prompt in made} == {(tokens, 7)}
    assert len({prompt.text for prompt in made}) == count
    assert server.seen["/tokenize"] <= requests


@pytest.mark.parametrize("tokens", [1, 2, 3, 4])
async def test_the_shortest_prompts(tokens: int) -> None:
    server = FakeServer()  # every prompt has a BOS
    async with client_of(server) as client:
        if tokens == 1:
            with pytest.raises(CheckError, match="exactly 1 tokens"):
                await random_prompts(client, 5, input_tokens=tokens, output_tokens=1)
            return
        made = await random_prompts(client, 5, input_tokens=tokens, output_tokens=1)
    assert {len(server.ids(prompt.text)) for prompt in made} == {tokens}


async def test_prompts_without_room_to_differ_are_refused() -> None:
    async with client_of(FakeServer()) as client:
        with pytest.raises(CheckError, match="no room for 4000 different"):
            await random_prompts(client, 4000, input_tokens=2, output_tokens=1)


async def test_a_prompt_is_the_same_whoever_makes_it() -> None:
    async with client_of(FakeServer()) as client:

        async def make(count: int, first: int, seed: int = 5) -> list[Prompt]:
            return await random_prompts(
                client,
                count,
                input_tokens=40,
                output_tokens=1,
                prefix_tokens=9,
                seed=seed,
                first=first,
            )

        whole = await make(6, 0)
        assert await make(2, 0) + await make(4, 2) == whole
        assert not {p.text for p in await make(6, 0, seed=6)} & {p.text for p in whole}


@pytest.mark.parametrize("prefix", [1, 2, 3, 64, 127])
async def test_the_first_tokens_are_shared(prefix: int) -> None:
    """All prompts differ, be there one token left for it."""
    server = FakeServer()
    async with client_of(server) as client:
        made = await random_prompts(
            client, 30, input_tokens=128, output_tokens=1, prefix_tokens=prefix, seed=1
        )
    rows = [server.ids(prompt.text) for prompt in made]
    assert {len(row) for row in rows} == {128}
    assert len({tuple(row[:prefix]) for row in rows}) == 1
    assert len({tuple(row) for row in rows}) == 30


@pytest.mark.parametrize("prefix", [128, 200])
async def test_a_prefix_as_long_as_the_prompt_is_refused(prefix: int) -> None:
    async with client_of(FakeServer()) as client:
        with pytest.raises(SpecError, match=r"must be less than --input-tokens 128"):
            await random_prompts(client, 2, input_tokens=128, output_tokens=1, prefix_tokens=prefix)


async def test_a_small_vocabulary_uses_what_is_one_token() -> None:
    def rule(text: str) -> list[int]:
        """Words of up to three letters are one token, longer ones a token a letter."""
        ids = []
        for word in text.split():
            ids += [hash(word) % 10**6] if len(word) <= 3 else [ord(letter) for letter in word]
        return ids

    server = Counting(rule)
    async with client_of(server) as client:
        made = await random_prompts(client, 10, input_tokens=50, output_tokens=1)
    assert {len(rule(prompt.text)) for prompt in made} == {50}
    words = {word for prompt in made for word in prompt.text.split()}
    assert all(len(word) <= 3 for word in words)
    assert server.seen["/tokenize"] < len(PIECES)


async def test_a_tokenizer_that_merges_is_fitted_prompt_by_prompt() -> None:
    def rule(text: str) -> list[int]:
        """Two equal words in a row are one token."""
        ids: list[int] = []
        for word in text.split():
            number = hash(word) % 10**6
            if not ids or ids[-1] != number:
                ids.append(number)
        return ids

    server = Counting(rule)
    async with client_of(server) as client:
        made = await random_prompts(client, 8, input_tokens=300, output_tokens=1)
    assert {len(rule(prompt.text)) for prompt in made} == {300}


async def test_a_tokenizer_without_words_is_refused() -> None:
    async with client_of(Counting(lambda text: list(text.encode()))) as client:
        with pytest.raises(CheckError, match="common words are one token") as caught:
            await random_prompts(client, 2, input_tokens=50, output_tokens=1)
    assert caught.value.reason == "PromptLength"


async def test_a_length_that_no_text_has_is_refused() -> None:
    def rule(text: str) -> list[int]:
        """No text has exactly 50 tokens."""
        number = len(text.split())
        return [1] * (51 if number == 50 else number)

    async with client_of(Counting(rule)) as client:
        with pytest.raises(CheckError, match="exactly 50 tokens can be made: the last of 12"):
            await random_prompts(client, 2, input_tokens=50, output_tokens=1)


async def test_a_prefix_whose_end_depends_on_what_follows_is_refused() -> None:
    def rule(text: str) -> list[int]:
        """The fifth token depends on the whole text."""
        ids = [hash(word) % 10**6 for word in text.split()]
        return [*ids[:4], hash(text) % 10**6, *ids[5:]] if len(ids) > 4 else ids

    async with client_of(Counting(rule)) as client:
        with pytest.raises(CheckError, match="behind the shared prefix"):
            await random_prompts(client, 2, input_tokens=50, output_tokens=1, prefix_tokens=10)


async def test_the_longest_prompt() -> None:
    server = FakeServer()
    async with client_of(server) as client:
        prompt = await long_context_prompt(client, max_model_len=4096, output_tokens=96, seed=3)
        assert (len(server.ids(prompt.text)), prompt.input_tokens) == (4000, 4000)
        assert prompt.output_tokens == 96
        with pytest.raises(SpecError, match="leave no room for a prompt") as caught:
            await long_context_prompt(client, max_model_len=96, output_tokens=96, seed=3)
    assert caught.value.reason == "ContextTooShort"


# Conversations


def conversation(prompt: str, answer: str, *more: str) -> dict[str, Any]:
    names = ("human", "gpt") * 3
    turns = [
        {"from": name, "value": value}
        for name, value in zip(names, (prompt, answer, *more), strict=False)
    ]
    return {"id": "x", "conversations": turns}


def written(folder: Path, data: Any, name: str = "share.json") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


MANY = [conversation(f"please tell me about x {'y ' * n}", "well " * (5 + n)) for n in range(40)]


async def draw(path: Path, count: int, server: FakeServer | None = None, **fields: Any) -> Any:
    first, context = fields.pop("first", 0), fields.pop("max_model_len", None)
    options = DatasetOptions("sharegpt", data=path, **({"output_tokens": None} | fields))
    async with client_of(server or FakeServer()) as client:
        return await make_dataset(
            client, options, count, first=first, concurrency=4, max_model_len=context
        )


async def test_conversations_with_the_servers_counts(tmp_path: Path) -> None:
    server = FakeServer()
    dataset = await draw(written(tmp_path, MANY), 12, server, seed=4)
    assert dataset.name == "sharegpt"
    by_prompt = {entry["conversations"][0]["value"]: entry for entry in MANY}
    assert len({prompt.text for prompt in dataset.prompts}) == 12
    for prompt in dataset.prompts:
        answer = by_prompt[prompt.text]["conversations"][1]["value"]
        assert prompt.input_tokens == len(server.ids(prompt.text))
        assert prompt.output_tokens == len(server.ids(answer)) - 1  # no BOS is generated


async def test_a_seed_is_an_order(tmp_path: Path) -> None:
    path = written(tmp_path, MANY)
    whole = (await draw(path, 20, seed=1)).prompts
    parts = (await draw(path, 8, seed=1)).prompts + (await draw(path, 12, seed=1, first=8)).prompts
    assert parts == whole
    assert (await draw(path, 20, seed=2)).prompts != whole


async def test_lengths_are_filtered_as_vllm_does(tmp_path: Path) -> None:
    kept = {
        "q " * 3: 5,  # with BOS 4 in
        "r " * 1023: 5,  # 1024 in
        "s " * 999: 1048,  # 2048 in all
    }
    left_out = {"t " * 2: 5, "u " * 1024: 5, "v " * 10: 3, "w " * 999 + "w": 1048, "z " * 3000: 5}
    data = [conversation(k.strip(), ("a " * n).strip()) for k, n in (kept | left_out).items()]
    dataset = await draw(written(tmp_path, data), 3)
    assert {p.text for p in dataset.prompts} == {text.strip() for text in kept}
    with pytest.raises(SpecError, match="3 of its 8 conversations fit") as caught:
        await draw(tmp_path / "share.json", 4)
    assert caught.value.reason == "TooFewConversations"


async def test_a_given_answer_length_and_a_short_context(tmp_path: Path) -> None:
    data = [conversation("a b c d e", ""), conversation("f " * 60, "x " * 20)]
    dataset = await draw(written(tmp_path, data), 1, output_tokens=50, max_model_len=60)
    assert [(p.text, p.output_tokens) for p in dataset.prompts] == [("a b c d e", 50)]


async def test_entries_of_fewer_turns_are_left_out(tmp_path: Path) -> None:
    data = [{"id": "1"}, {"conversations": []}, {"conversations": [{"value": "x"}]}, MANY[0]]
    assert len(open_conversations(written(tmp_path, data))) == 1


async def test_text_comes_back_to_the_letter(tmp_path: Path) -> None:
    prompt = '안녕하세요, 자기소개 해주세요. "quoted" \\ \n new line \U0001f600 é'
    for ascii_only in (True, False):
        raw = json.dumps([conversation(prompt, "네 " * 9)], ensure_ascii=ascii_only, indent=3)
        file = open_conversations(written(tmp_path, raw.encode()))
        assert file.read(0).prompt == prompt


def test_entries_across_the_reads_are_found(tmp_path: Path) -> None:
    rng = random.Random(7)
    data = [conversation(f"{n} " + "é" * rng.randrange(150_000), f"answer {n}") for n in range(60)]
    raw = json.dumps(data, ensure_ascii=False, indent=1).encode()
    assert len(raw) > 5 * 2**20
    file = open_conversations(written(tmp_path, raw))
    assert len(file) == 60
    assert [file.read(n).prompt for n in range(60)] == [
        entry["conversations"][0]["value"] for entry in data
    ]


def test_the_hash_is_the_files(tmp_path: Path) -> None:
    import hashlib

    path = written(tmp_path, MANY)
    found = open_conversations(path).digest
    assert found == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    written(tmp_path, b"\xef\xbb\xbf" + path.read_bytes(), "mark.json")
    marked = open_conversations(tmp_path / "mark.json")
    assert marked.digest != found
    assert marked.read(0).prompt == MANY[0]["conversations"][0]["value"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "must be one JSON list"),
        (b"{}", "must be one JSON list"),
        (b'{"a": []}', "must be one JSON list"),
        (b"[", "entry 0 (byte 1) is no JSON"),
        (b"[1]", "entry 0 is a number, not an object"),
        (b"[null]", "entry 0 is null"),
        (b'[{"conversations": 5}]', "entry 0: conversations is a number, not a list"),
        (b'[{"conversations": ["hello", "x"]}]', "entry 0: turn 0 has no text under value"),
        (b'[{"conversations": [{"value": "a"}, {"value": 3}]}]', "turn 1 has no text"),
        (b'[{"conversations": [{"value": "a"}, {"content": "b"}]}]', "turn 1 has no text"),
        (b'[{"id": 1} {"id": 2}]', "behind entry 0 comes '{'"),
        (b'[{"id": 1}', "behind entry 0 comes the file's end"),
        (b'[{"id": 1},]', "entry 1 (byte 11) is no JSON"),
        (b'[{"id": 1}] []', "behind the list comes '['"),
        (b'[{"id": "never ends', "entry 0 (byte 1) is no JSON"),
        (b'[{"id": tru}, ' + b'{"id": 1}, ' * 20 + b"{}]", "entry 0 (byte 1) is no JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"conversations,are,no,csv", "must be one JSON list"),
        (b"\x1f\x8b\x08\x00 gzip", "must be one JSON list"),
    ],
)
def test_malformed_files_say_where(tmp_path: Path, raw: bytes, told: str) -> None:
    path = written(tmp_path, raw)
    with pytest.raises(SpecError) as caught:
        open_conversations(path)
    assert caught.value.reason == "BadData"
    assert told in caught.value.message
    assert str(path) in caught.value.message


def test_bytes_that_are_no_text_are_an_error_of_the_entry(tmp_path: Path) -> None:
    raw = b'[{"conversations": [{"value": "\xff"}, {"value": "x"}]}]'
    file = open_conversations(written(tmp_path, raw))
    with pytest.raises(SpecError, match="the entry at byte 1 can't be read"):
        file.read(0)


def test_a_folder_holds_one_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="it has 0"):
        open_conversations(tmp_path)
    written(tmp_path, MANY)
    assert len(open_conversations(tmp_path)) == 40
    written(tmp_path, MANY, "second.json")
    with pytest.raises(SpecError, match=r"second\.json, share\.json"):
        open_conversations(tmp_path)
    with pytest.raises(SpecError, match="No such file"):
        open_conversations(tmp_path / "absent.json")


# Options


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (DatasetOptions("sharegpt"), "NoDataset"),
        (DatasetOptions("sharegpt", data=Path("x"), prefix_tokens=3), "PrefixNeedsRandom"),
        (DatasetOptions(data=Path("x")), "UnusedData"),
        (DatasetOptions(output_tokens=None), "NoOutputTokens"),
        (DatasetOptions(input_tokens=4000, output_tokens=100), "ContextTooShort"),
        (DatasetOptions(prefix_tokens=128), "PrefixTooLong"),
    ],
)
async def test_options_that_do_not_fit(options: DatasetOptions, reason: str) -> None:
    async with client_of(FakeServer()) as client:
        with pytest.raises(SpecError) as caught:
            await make_dataset(client, options, 2, concurrency=2, max_model_len=4096)
    assert caught.value.reason == reason


async def test_no_tokenize_is_an_error() -> None:
    async def missing(request: web.Request, _payload: dict[str, Any]) -> web.Response | None:
        return web.Response(status=404) if request.path == "/tokenize" else None

    async with client_of(FakeServer(before=missing)) as client:
        with pytest.raises(CheckError) as caught:
            await make_dataset(client, DatasetOptions(), 2, concurrency=2, max_model_len=4096)
    assert caught.value.reason == "NoTokenize"
