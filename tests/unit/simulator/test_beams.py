"""Beam search and the other ways to the likeliest tokens."""

from __future__ import annotations

import pytest

from unit.simulator.running import Start


def texts(response: object) -> list[str]:
    return [choice["text"] for choice in response.json()["choices"]]  # type: ignore[attr-defined]


async def test_beams_differ_and_the_first_is_the_greedy_answer(start: Start) -> None:
    server = await start()
    greedy = texts(await server.complete(max_tokens=6))
    found = await server.complete(max_tokens=6, use_beam_search=True, n=4, length_penalty=2)
    assert texts(found)[0] == greedy[0]
    assert len(set(texts(found))) == 4
    assert found.json()["usage"]["completion_tokens"] == 24
    assert texts(await server.complete(max_tokens=6, use_beam_search=True, n=1)) == greedy


@pytest.mark.parametrize("path", ["complete", "chat"])
async def test_more_beams_than_log_probabilities_are_refused(start: Start, path: str) -> None:
    server = await start()
    response = await getattr(server, path)(use_beam_search=True, n=11)
    assert response.status_code == 400
    assert "Requested sample logprobs of 22" in response.json()["error"]["message"]


@pytest.mark.parametrize("field", [{"top_k": 1}, {"top_p": 0.01}, {"temperature": 0}])
async def test_the_likeliest_token_alone_is_greedy(start: Start, field: dict[str, float]) -> None:
    server = await start()
    greedy = texts(await server.complete(max_tokens=12))
    assert texts(await server.complete(max_tokens=12, **({"temperature": 1.0} | field))) == greedy


async def test_it_knows_the_capital_of_france(start: Start) -> None:
    server = await start()
    response = await server.complete("The capital of France is", max_tokens=1, logprobs=2)
    assert texts(response) == [" Paris"]
    assert " Paris" in response.json()["choices"][0]["logprobs"]["top_logprobs"][0]
