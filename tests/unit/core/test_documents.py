"""What the documents show can be applied and run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from ascendllm.api.crd import KIND
from ascendllm.api.parse import parse_spec
from ascendllm.cli import cli
from ascendllm.decide.policies import Input, engine, first_problem
from ascendllm.settings import Settings
from documents.command_reference import root_context
from unit.core.documents import (
    PAGES,
    REPOSITORY,
    Block,
    blocks,
    command_lines,
    commands_in_text,
    prose,
)

BARE: dict[str, Any] = {"model": {"source": {"hostPath": "/models/a"}}}

README_LINES = 150

LINKING = [
    *(REPOSITORY / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md")),
    *(REPOSITORY / name for name in ("CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md")),
]
"""Documents outside of docs/, whose links mkdocs does not check."""

OTHER_YAML = (
    "scrape_configs:",
    "apiVersion: monitoring.coreos.com",
    "apiVersion: kustomize",
    "apiVersion: v1",
    "- patch:",
)
"""How YAML begins that is no resource: Prometheus' configuration, which the end-to-end tests use,
overlays, which `test_manifests` checks, and objects of other projects."""


def shown() -> list[Any]:
    """Every YAML block: a whole resource, or a part of a spec."""
    return [
        pytest.param(block, id=f"{block.name}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page), 1)
        if block.language == "yaml" and not block.content.startswith(OTHER_YAML)
    ]


def called() -> list[Any]:
    return [
        pytest.param(line, id=f"{page.relative_to(REPOSITORY)}-{number}")
        for page in PAGES
        for number, line in enumerate(command_lines(page), 1)
    ]


def mentioned() -> list[str]:
    return sorted({command for page in PAGES for command in commands_in_text(page)})


def test_there_are_blocks_and_commands() -> None:
    assert len(shown()) > 20
    assert len(called()) > 15
    assert len(mentioned()) > 10


@pytest.mark.parametrize("block", shown())
def test_a_block_is_a_resource_or_a_part_of_a_spec(block: Block) -> None:
    content = yaml.safe_load(block.content)
    spec = content["spec"] if "kind" in content else BARE | content
    messages = ((spec.get("validation") or {}).get("smoke") or {}).get("prompts", [])
    if any("messages" in prompt for prompt in messages):
        spec["model"] = spec["model"] | {"kind": "instruct"}
    read = parse_spec({"metadata": {"name": "shown"}, "spec": spec})
    for policy in (engine.engine_arguments_refused, engine.engine_config_refused):
        assert policy(Input(read, None, "shown")) is None
    assert engine.ascend_refuses(Input(read, None, "shown")) is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_whole_resource_works_on_a_fresh_installation(page: Path) -> None:
    """The documented overlay is all of the operator's settings."""
    settings = Settings(
        image_repository="registry.example.com/ascendllm", host_path_prefixes=("/data/models",)
    )
    for block in blocks(page):
        content = yaml.safe_load(block.content) if block.language == "yaml" else None
        if not isinstance(content, dict) or content.get("kind") != KIND:
            continue
        spec = parse_spec(content)
        assert first_problem(Input(spec, settings, content["metadata"]["name"])) is None


@pytest.mark.parametrize("line", called())
def test_a_command_line_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line)[1:]
    for argument in arguments:
        # Options may want a file that exists.
        if re.fullmatch(r"[\w-]+\.(yaml|json|jsonl)", argument):
            Path(argument).write_text("{}", encoding="utf-8")
        elif argument.startswith("./"):
            Path(argument).mkdir()
    command: click.Command = cli
    context = root_context()
    while isinstance(command, click.Group):
        name, *arguments = arguments
        found = command.get_command(context, name)
        assert found is not None, name
        command = found
    with command.make_context(command.name, arguments, parent=context):
        pass


@pytest.mark.parametrize("text", mentioned())
def test_a_mentioned_command_exists_with_its_options(text: str) -> None:
    words = shlex.split(text)[1:]
    command: click.Command = cli
    context = root_context()
    while isinstance(command, click.Group) and words and not words[0].isupper():
        name, *words = words
        if name.startswith("-"):
            return
        found = command.get_command(context, name)
        assert found is not None, name
        command = found
    known = {"-h", "--help"}.union(*(parameter.opts for parameter in command.params))
    assert {word for word in words if word.startswith("-")} <= known


def test_the_readme_is_short() -> None:
    for name in ("README.md", "README.zh.md"):
        lines = (REPOSITORY / name).read_text("utf-8").splitlines()
        assert len(lines) <= README_LINES, name


def test_the_chinese_readme_shows_what_the_english_one_does() -> None:
    english, chinese = (
        [re.sub(r" *#.*", "", block.content) for block in blocks(REPOSITORY / name)]
        for name in ("README.md", "README.zh.md")
    )
    assert english == chinese
    links = [
        re.findall(r"\]\((docs/[^)]*)\)", (REPOSITORY / name).read_text("utf-8"))
        for name in ("README.md", "README.zh.md")
    ]
    assert links[0] == links[1]


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose(file), re.M)
            assert anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_page_is_in_the_navigation() -> None:
    navigation = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text("utf-8"))["nav"]
    text = json.dumps(navigation)
    for page in (REPOSITORY / "docs").rglob("*.md"):
        assert f'"{page.relative_to(REPOSITORY / "docs")}"' in text
