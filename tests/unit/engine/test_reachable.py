"""Every option of `vllm serve` is reached by a field or by `args`, or refused with a reason."""

from __future__ import annotations

import pytest

from ascendllm.api.engine import Engine
from ascendllm.engine.arguments import serve_arguments
from ascendllm.engine.option import Option
from ascendllm.engine.options import load
from ascendllm.engine.ownership import FIELDS, OWNED
from ascendllm_simulator.option_parser import parse_arguments

TABLE = load("0.18.0")
SAMPLES = {
    "str": "x",
    "int": "7",
    "float": "0.5",
    "human-int": "8K",
    "human-int-or-auto": "auto",
    "json": '{"a":1}',
    "object": '{"a":1}',
    "dict-or-str": '{"a":1}',
    "lower-snake": "auto",
    "lora": "a=b",
}
OWNERS = {TABLE.by_flag[flag].dest: owner for flag, owner in OWNED.items()}


def sample(option: Option) -> str:
    flag = next(flag for flag in option.flags if flag.startswith("--"))
    if not option.takes_value:
        return flag
    return f"{flag}={option.choices[0] if option.choices else SAMPLES[option.type]}"


def rendered(engine: Engine) -> list[str]:
    return serve_arguments("/m", "m", engine, 1)


@pytest.mark.parametrize("option", TABLE.options, ids=lambda option: option.dest)
def test_an_option_is_reached_or_refused_with_a_reason(option: Option) -> None:
    if not option.flags:
        assert option.dest == "model_tag", "the model is spec.model.source"
        return
    problems = [problem.message for problem in TABLE.problems([sample(option)], OWNED)]
    if not problems:
        parsed = parse_arguments(TABLE, rendered(Engine(args=[sample(option)]))[2:])
        expected = TABLE.values([sample(option)])[option.dest]
        assert parsed[option.dest] == expected, "by args"
    elif option.dest in FIELDS:
        assert FIELDS[option.dest] in Engine.model_fields, "by its field"
    else:
        owner = OWNERS.get(option.dest, "the server would print its help and end")
        assert owner in problems[0]
        assert owner.startswith("spec.") or len(owner) >= len("set by the operator")


def test_most_options_are_reached_by_args() -> None:
    reached = [o for o in TABLE.options if o.flags and not TABLE.problems([sample(o)], OWNED)]
    assert len(reached) > 180


def test_every_field_of_the_engine_is_an_option_or_several() -> None:
    beside = {"args", "config", "profile"}
    assert set(FIELDS.values()) | beside == set(Engine.model_fields)
