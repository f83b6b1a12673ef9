from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.engine.gone import GONE
from ascendllm.engine.option_values import TYPES, BadValueError, convert
from ascendllm.engine.options import load, table_for
from ascendllm.exceptions import UsageError
from ascendllm_simulator.option_parser import parse_arguments

# Every option as vllm 0.18.0's own parser has it.
FACTS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "vllm-0.18.0-serve-options.json").read_text(encoding="utf-8")
)["options"]
TABLE = load("0.18.0")
BY_DEST = {option.dest: option for option in TABLE.options}
STORES = ("_StoreAction", "_AppendAction", "LoRAParserAction")

SEED_000 = """/opt/atomgit/Meta-Llama-3.1-8B --host 0.0.0.0 --port 8000 --tensor-parallel-size 1
--seed 1024 --served-model-name meta-llama-3.1-8b --max-model-len 4096 --max-num-seqs 16
--gpu-memory-utilization 0.90 --trust-remote-code --dtype bfloat16"""

OWNED = {
    "--max-model-len": "spec.engine.maxModelLen",
    "--tensor-parallel-size": "spec.engine.tensorParallelSize",
    "--enable-prefix-caching": "spec.engine.enablePrefixCaching",
    "--compilation-config": "spec.engine.compilationConfig",
    "--port": "set by the operator",
}

# A value of each type, one that does not have it, and what the first becomes.
SAMPLES: dict[str, tuple[str, str | None, object]] = {
    "str": ("x", None, "x"),
    "int": ("7", "seven", 7),
    "float": ("0.5", "half", 0.5),
    "human-int": ("8K", "8.5K", 8192),
    "human-int-or-auto": ("auto", "some", -1),
    "json": ('["*"]', "{", ["*"]),
    "object": ('{"a": 1}', "[1]", {"a": 1}),
    "dict-or-str": ('{"a": 1}', "{a}", {"a": 1}),
    "lower-snake": ("Deep-Gemm", None, "deep_gemm"),
    "lora": ("a=b", "{}", {"name": "a", "path": "b"}),
}


def ids(fact: dict[str, Any]) -> str:
    return str(fact["dest"])


def message(arg: str, owned: dict[str, str] | None = None) -> str:
    problems = TABLE.problems([arg], owned or {})
    assert [problem.arg for problem in problems] == [arg]
    return problems[0].message


def test_table_has_exactly_the_options_of_the_parser() -> None:
    assert {o.dest: o.flags for o in TABLE.options} == {f["dest"]: tuple(f["flags"]) for f in FACTS}
    assert len(TABLE.options) == 228


@pytest.mark.parametrize("fact", FACTS, ids=ids)
def test_each_option_takes_what_the_parser_takes(fact: dict[str, Any]) -> None:
    option = BY_DEST[fact["dest"]]
    assert option.takes_value == (fact["kind"] in STORES)
    assert option.nargs == (fact["nargs"] if fact["nargs"] in ("?", "+") else None)
    assert [str(choice) for choice in option.choices] == (fact["choices"] or [])
    assert option.optional == (fact["type"] == "_optional_type")
    if isinstance(fact["default"], bool | int | float):
        assert option.default == fact["default"]


@pytest.mark.parametrize("fact", [f for f in FACTS if f["flags"]], ids=ids)
def test_each_option_is_read_and_judged_alike(fact: dict[str, Any]) -> None:
    option = BY_DEST[fact["dest"]]
    flag = next(f for f in option.flags if f.startswith("--"))
    if option.kind == "help":
        return
    if not option.takes_value:
        assert parse_arguments(TABLE, ["m", flag])[option.dest] is True
        assert TABLE.problems([flag], {}) == []
        assert "takes no value" in message(f"{flag}=1")
        return
    good, bad, value = SAMPLES[option.type]
    if option.choices:
        good, bad = str(option.choices[0]), "no-such-choice"
        value = convert(option.type, option.optional, good)
    if option.dest not in ("model", "config"):
        assert TABLE.problems([f"{flag}={good}"], {}) == []
        expected = [value] if option.nargs == "+" or option.kind == "append" else value
        assert parse_arguments(TABLE, ["m", f"{flag}={good}"])[option.dest] == expected
        assert parse_arguments(TABLE, ["m", flag, good])[option.dest] == expected
    if bad is not None:
        assert message(f"{flag}={bad}").startswith(f"{flag}={bad}: ")
        with pytest.raises(UsageError, match=f"^argument {flag}"):
            parse_arguments(TABLE, ["m", f"{flag}={bad}"])
    if option.nargs != "?" and option.dest not in ("model", "config"):
        assert "a value is missing" in message(flag)
        with pytest.raises(UsageError, match=r"expected (one|at least one) argument"):
            parse_arguments(TABLE, ["m", flag])


@pytest.mark.parametrize("fact", [f for f in FACTS if f["type"] == "_optional_type"], ids=ids)
def test_optional_options_take_none(fact: dict[str, Any]) -> None:
    if not fact["choices"]:
        values = parse_arguments(TABLE, ["m", f"{fact['flags'][0]}="])
        assert values[fact["dest"]] in (None, [None])


@pytest.mark.parametrize("flag", [f for o in TABLE.options for f in o.flags])
def test_every_spelling_of_an_owned_option_is_owned(flag: str) -> None:
    option = TABLE.by_flag[flag]
    owned = {option.canonical: "spec.engine.field"}
    spellings = {flag, f"{flag}=1"}
    if flag.startswith("--"):
        spellings.add(f"--{flag[2:].replace('-', '_')}")
    for spelled in spellings:
        assert "belongs to spec.engine.field: set that instead" in message(spelled, owned)


@pytest.mark.parametrize(
    ("arg", "part"),
    [
        ("--max_model_len=9", "--max-model-len belongs to spec.engine.maxModelLen"),
        ("--no-enable-prefix-caching", "belongs to spec.engine.enablePrefixCaching"),
        ("-tp=2", "belongs to spec.engine.tensorParallelSize"),
        ("--compilation_config.mode=3", "belongs to spec.engine.compilationConfig"),
        ("-cc.mode=3", "belongs to spec.engine.compilationConfig"),
        ("--port=1", "--port is set by the operator: remove it"),
    ],
)
def test_owned(arg: str, part: str) -> None:
    assert part in message(arg, OWNED)


@pytest.mark.parametrize(
    ("arg", "part"),
    [
        ("", "must have the form --option or --option=value"),
        ("bfloat16", "must have the form --option or --option=value"),
        ("block-size=128", "such as --block-size"),
        ("-dpn=1", "short forms are not taken here: write --data-parallel-rank=1"),
        ("--dtype bfloat16", "write --dtype=bfloat16"),
        (
            "--device=ascend",
            "vllm 0.18.0 has no option --device: vLLM finds the NPUs by its plugin",
        ),
        ("--swap_space=4", "no option --swap_space: the engine no longer needs it"),
        ("--no-such-option-at-all", "has no option --no-such-option-at-all; remove it"),
        ("--blocksize=128", "did you mean --block-size"),
        ("--max-model=3", "did you mean --max-model-len"),
        ("--dtype=bf16", "it takes one of auto, bfloat16"),
        ("--dtype.x=1", "holds no keys"),
        ("--attention-config.=1", "a key between the dots is empty"),
        ("--config=/x.yaml", "vllm ignores the file"),
        ("--model=x", "spec.model"),
        ("--help", "remove it"),
        ("--help=all", "remove it"),
        ("-h", "remove it"),
        ("--", "has no option"),
        ("--speculative-config=" + "[" * 100_000, "nested too deep"),
    ],
)
def test_refusals_name_rule_and_remedy(arg: str, part: str) -> None:
    assert part in message(arg)


@pytest.mark.parametrize(
    "args",
    [
        ["--seed=1", "--seed=2"],
        ["--async-scheduling", "--no-async-scheduling"],
        ["--attention-config.backend=a", "--attention_config.backend=b"],
        ["--attention-config.backend=a", "--attention-config={}"],
        ["--attention-config={}", "--attention-config.backend=a"],
    ],
)
def test_given_twice(args: list[str]) -> None:
    (problem,) = TABLE.problems(args, {})
    assert problem.arg == args[1]
    assert f"given twice, before as {args[0]}" in problem.message


def test_several_values_that_are_no_repetition() -> None:
    args = ["--middleware=a", "--middleware=b"]
    args += ["--attention-config.backend=a", "--attention-config.use_cudnn_prefill=true"]
    args += ["--hf-token", "--block_size=128", "--gpu-memory-utilization=0.8"]
    assert TABLE.problems(args, OWNED) == []


def test_several_values_of_one_option() -> None:
    sizes = ["--cudagraph-capture-sizes=1", "--cudagraph_capture_sizes=2"]
    assert TABLE.problems(sizes, OWNED) == []
    assert TABLE.values(sizes) == {"cudagraph_capture_sizes": [1, 2]}
    (problem,) = TABLE.problems(["--logits-processors=a", "--logits-processors=-b"], OWNED)
    assert "no value may begin with -" in problem.message


def test_values_are_what_sound_arguments_say() -> None:
    args = [
        "--block_size=64",
        "--no-async-scheduling",
        "--enable-expert-parallel",
        "--attention-config.backend=a",
        "--attention-config.x.y=true",
        "--seed=many",
        "--no-such=1",
    ]
    assert TABLE.values(args) == {
        "block_size": 64,
        "async_scheduling": False,
        "enable_expert_parallel": True,
        "attention_config": {"backend": "a", "x": {"y": True}},
    }


def test_the_options_of_another_version_are_judged_by_form_and_owner() -> None:
    def told(*args: str) -> list[str]:
        found = TABLE.problems(list(args), OWNED, other_version=True)
        return [problem.message for problem in found]

    assert told("--of-the-future=1", "--dtype=fp4", "--seed=many") == []
    assert "set by the operator" in told("--port=1")[0]
    assert "must have the form" in told("block-size=1")[0]
    assert "one element holds option and value" in told("--seed 1")[0]
    assert told("--$(rm)=1")


@pytest.mark.parametrize(
    ("release", "known"),
    [
        (None, True),
        ("v0.18.0rc1", True),
        ("v0.18.0", True),
        ("0.18.0-a3", True),
        ("v0.19.0", False),
        ("v0.18.1", False),
        ("nightly-main", False),
    ],
)
def test_the_table_of_a_release(release: str | None, known: bool) -> None:
    assert (table_for(release) is not None) is known


def test_what_is_gone_is_gone_and_its_remedies_are_there() -> None:
    assert not set(GONE) & set(TABLE.by_flag)
    for remedy in GONE.values():
        for word in re.findall(r"--[a-z][a-z-]+", remedy):
            assert word in TABLE.by_flag, word


def test_all_problems_are_reported() -> None:
    assert len(TABLE.problems(["--x-y", "z", "--seed=q", "--seed=1"], OWNED)) == 3


def test_owner_of_an_unknown_option_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        TABLE.problems([], {"--no-such": "spec.engine.x"})


def test_seed_000_is_accepted() -> None:
    values = parse_arguments(TABLE, SEED_000.split())
    assert values["model"] == "/opt/atomgit/Meta-Llama-3.1-8B"
    assert values["served_model_name"] == ["meta-llama-3.1-8b"]
    assert values["gpu_memory_utilization"] == 0.9
    assert values["trust_remote_code"] is True
    assert values["shutdown_timeout"] == 0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ("m --device ascend", "unrecognized arguments: --device ascend"),
        ("m --dtype bf16", "argument --dtype: invalid choice: 'bf16'"),
        ("m --port x", "argument --port: invalid int value: 'x'"),
        ("m --max-num 3", "ambiguous option: --max-num could match"),
        ("m --max-log-len x", "Value x cannot be converted to <class 'int'>."),
        ("m n", "unrecognized arguments: n"),
        ("--model", "argument --model: expected one argument"),
        ("m --attention-config.backend", "argument --attention-config.backend: expected one"),
        ("m --enforce-eager=1", "ignored explicit argument '1'"),
    ],
)
def test_parse_refuses_with_the_text_of_the_parser(args: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arguments(TABLE, args.split())
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("args", "dest", "value"),
    [
        ("m --max_model_len 4K", "max_model_len", 4096),
        ("m --max-model-len=auto", "max_model_len", -1),
        ("m --max-num-batched-tokens 25.6k", "max_num_batched_tokens", 25_600),
        ("m -tp 2", "tensor_parallel_size", 2),
        ("m --tensor-parallel 2", "tensor_parallel_size", 2),
        ("m --no-enable-prefix-caching", "enable_prefix_caching", False),
        ("m -O3", "optimization_level", "3"),
        ("m -O=2", "optimization_level", "2"),
        ("m -O 1", "optimization_level", "1"),
        ("m --hf-token", "hf_token", True),
        ("m --compilation-config.mode=3", "compilation_config", {"mode": 3}),
        (
            "m -cc.pass_config.x true --compilation_config.pass_config.y=z",
            "compilation_config",
            {"pass_config": {"y": "z"}},
        ),
        (
            "m --additional-config.sizes+ 1,2 --additional-config.sizes+=3",
            "additional_config",
            {"sizes": ["1", "2", "3"]},
        ),
        ("m --lora-modules a=b c=d", "lora_modules", [
            {"name": "a", "path": "b"}, {"name": "c", "path": "d"},
        ]),
        ("--port 1 --model m", "model", "m"),
        ("--model=m --port 1", "model", "m"),
        ("m --served-model-name a b", "served_model_name", ["a", "b"]),
        ("m --gpu-memory-utilization 0.5", "gpu_memory_utilization", 0.5),
    ],
)  # fmt: skip
def test_parse_rewrites_as_vllm_does(args: str, dest: str, value: object) -> None:
    assert parse_arguments(TABLE, args.split())[dest] == value


def test_messages_stay_short() -> None:
    for arg in (
        "--dtype=" + "x" * 10_000,
        "--" + "y" * 10_000,
        "z" * 10_000,
        "--seed=1" + "0" * 9000,
    ):
        problems = TABLE.problems([arg, arg], {})
        assert problems[0].arg == arg
        assert all(len(problem.message) < 1000 for problem in problems)


def test_versions_without_a_table_are_named() -> None:
    for version in ("0.17.0", "../options", ""):
        with pytest.raises(UsageError, match=r"only of 0\.18\.0"):
            load(version)


@given(st.lists(st.text(max_size=40), max_size=6))
def test_no_argument_list_crashes(args: list[str]) -> None:
    for problem in TABLE.problems(args, OWNED):
        assert problem.message
    with contextlib.suppress(UsageError):
        assert "model" in parse_arguments(TABLE, args)


@given(st.sampled_from(sorted(TABLE.by_flag)), st.text(max_size=30))
def test_a_value_without_problems_is_one_that_the_parser_takes(flag: str, value: str) -> None:
    arg = f"{flag}={value}"
    if flag.startswith("--") and not TABLE.problems([arg], {}):
        assert TABLE.by_flag[flag].dest in parse_arguments(TABLE, ["m", arg])


@given(st.sampled_from(sorted(TYPES)), st.booleans(), st.text(max_size=30))
def test_conversions_raise_one_error_only(name: str, optional: bool, text: str) -> None:
    with contextlib.suppress(BadValueError):
        assert convert(name, optional, text) == convert(name, optional, text)
