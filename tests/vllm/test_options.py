"""What the operator renders is what vLLM parses, and our table of its options is its parser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ascendllm.engine.option import Option
from ascendllm.engine.options import load
from ascendllm.exceptions import UsageError
from ascendllm_simulator.option_parser import parse_arguments
from cluster.commands import run
from cluster.paths import REPOSITORY
from unit.core.kubelet import command_line

TABLE = load("0.18.0")
KINDS = {
    "_HelpAction": "help",
    "_StoreAction": "store",
    "LoRAParserAction": "store",
    "_AppendAction": "append",
    "_StoreTrueAction": "flag",
    "BooleanOptionalAction": "switch",
}
GOLDEN = sorted((REPOSITORY / "tests" / "golden").glob("*/objects.yaml"))
EXAMPLES = sorted((REPOSITORY / "manifests" / "examples").glob("*.yaml"))

REFUSED = [
    ["/m", "--max-model-len=many"],
    ["/m", "--max-model-len"],
    ["/m", "--no-such-option"],
    ["/m", "--dtype=int8"],
    ["/m", "--gpu-memory-utilization=all"],
    ["/m", "--enforce-eager=1"],
    ["/m", "--max-num-seqs=1.5"],
]
ACCEPTED = [
    ["/m", "--cudagraph-capture-sizes", "1", "2", "--async-scheduling"],
    ["/m", "--enable-lora", "--lora-modules", "a=/loras/a", "b=/loras/b", "--max-lora-rank=32"],
    ["/m", "--max_model_len=9"],
    ["/m", "-tp=2", "-asc", "1"],
    ["/m", "--max-model-len=8k"],
    ["/m", "--max-model-len=auto"],
    ["/m", "--no-enable-prefix-caching"],
    ["/m", "--compilation-config.mode=3"],
    ["/m", "--grpc"],
    ["/m", "--api-key", "a", "b"],
    ["/m", "--shutdown-timeout=120"],
]


def command_lines(objects: Iterable[dict[str, Any]]) -> list[list[str]]:
    """What each kind of serving pod among the objects is started with, behind `vllm serve`."""
    found = {
        json.dumps(container["args"])
        for item in objects
        for template in templates(item)
        for container in template["spec"]["containers"]
        if container["name"] == "vllm"
    }
    return [command_line(json.loads(text))[2:] for text in sorted(found)]


def templates(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods of a revision, as it records them."""
    if item["kind"] != "ControllerRevision":
        return []
    template = item["data"]["template"]
    return [template["leader"], template["worker"]] if "leader" in template else [template]


def rendered(example: Path) -> list[list[str]]:
    """What the resources of an example are served with, by `ascendllm render`."""
    command = [sys.executable, "-m", "ascendllm", "render", "-f", str(example)]
    objects = yaml.safe_load_all(run([*command, "--generation", "A3"]))
    return command_lines(item for item in objects if item)


@pytest.fixture(scope="module")
def lists() -> list[list[str]]:
    golden = [line for path in GOLDEN for line in command_lines(documents(path))]
    examples = [line for path in EXAMPLES for line in rendered(path)]
    assert len(golden) >= len(GOLDEN)
    assert len(examples) >= len(EXAMPLES)
    return [*golden, *examples]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.fixture(scope="module")
def real(vllm_environment: Path, lists: list[list[str]]) -> dict[str, Any]:
    return ask(vllm_environment, [*lists, *ACCEPTED, *REFUSED])


def ask(vllm_environment: Path, arguments: list[list[str]]) -> dict[str, Any]:
    """What the real parser has, and makes of argument lists."""
    script = Path(__file__).with_name("real_parser.py")
    # -I: our own folder `vllm` is not what the script imports.
    outcome = subprocess.run(
        [str(vllm_environment / "bin" / "python"), "-I", str(script)],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    found: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
    return found


def test_our_table_is_the_real_parser(real: dict[str, Any]) -> None:
    theirs = {option["dest"]: option for option in real["options"]}
    ours = {option.dest: option for option in TABLE.options}
    assert ours.keys() == theirs.keys()
    assert len(theirs) > 200
    for dest, option in theirs.items():
        assert entry(ours[dest]) == {**option, "kind": KINDS[option["kind"]]} | normal(option), dest


def entry(option: Option) -> dict[str, Any]:
    return {
        "dest": option.dest,
        "flags": list(option.flags),
        "kind": option.kind,
        "nargs": option.nargs,
        "choices": [str(choice) for choice in option.choices],
        "default": option.default if isinstance(option.default, bool | int | float) else None,
    }


def normal(option: dict[str, Any]) -> dict[str, Any]:
    """The real option's fields as ours are written."""
    default = option["default"]
    return {
        "nargs": option["nargs"] if option["nargs"] in ("?", "+") else None,
        "choices": option["choices"] or [],
        "default": default if isinstance(default, bool | int | float) else None,
    }


def test_what_is_rendered_is_parsed(real: dict[str, Any], lists: list[list[str]]) -> None:
    assert len(lists) > 30
    for given, outcome in zip(lists, real["parsed"], strict=False):
        assert "error" not in outcome, (given, outcome)
        same_values(given, outcome["values"])


def test_what_is_accepted_by_vllm_is_accepted_by_us(
    real: dict[str, Any], lists: list[list[str]]
) -> None:
    for given, outcome in zip(ACCEPTED, real["parsed"][len(lists) :], strict=False):
        assert "error" not in outcome, (given, outcome)
        same_values(given, outcome["values"])


def test_what_vllm_refuses_is_refused_by_us_in_its_words(real: dict[str, Any]) -> None:
    for given, outcome in zip(REFUSED, real["parsed"][-len(REFUSED) :], strict=True):
        assert "error" in outcome, given
        with pytest.raises(UsageError) as refused:
            parse_arguments(TABLE, given)
        assert str(refused.value) == outcome["error"], given


def test_a_bad_object_is_refused_by_both(vllm_environment: Path) -> None:
    """vLLM adds what pydantic says of its own class."""
    arguments = ["/m", "--compilation-config={"]
    [outcome] = ask(vllm_environment, [arguments])["parsed"]
    with pytest.raises(UsageError) as refused:
        parse_arguments(TABLE, arguments)
    flag = "argument --compilation-config/-cc: "
    assert str(refused.value).startswith(flag)
    assert outcome["error"].startswith(flag)


def same_values(given: list[str], values: dict[str, Any]) -> None:
    """The values of all options that are given are equal; the rest are defaults."""
    ours = parse_arguments(TABLE, given)
    for argument in given:
        flag = argument.partition("=")[0].partition(".")[0].replace("_", "-")
        option = TABLE.by_flag.get(flag)
        if option is not None and values[option.dest] is not None:
            assert json.loads(json.dumps(ours[option.dest])) == values[option.dest], argument
    assert ours["model"] == values["model_tag"]
