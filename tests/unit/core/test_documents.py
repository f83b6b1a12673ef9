"""What the documents show can be applied."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ascendllm.api.parse import parse_spec
from ascendllm.decide.policies import Input, engine

REPOSITORY = Path(__file__).parents[3]
BARE: dict[str, Any] = {"model": {"source": {"hostPath": "/models/a"}}}


def shown() -> list[Any]:
    """Every YAML block of the documents: a whole resource, or a part of a spec.

    Prometheus' configuration is none of both; the end-to-end tests use it.
    """
    return [
        pytest.param(block, id=f"{name}-{number}")
        for name in ("README.md", "docs/serving/models.md", "docs/validation/concepts.md")
        for number, block in enumerate(
            re.findall(r"^```yaml\n(.*?)^```", (REPOSITORY / name).read_text("utf-8"), re.M | re.S),
            1,
        )
        if not block.startswith("scrape_configs:")
    ]


def test_there_are_blocks() -> None:
    assert len(shown()) > 8


@pytest.mark.parametrize("block", shown())
def test_a_block_is_a_resource_or_a_part_of_a_spec(block: str) -> None:
    content = yaml.safe_load(block)
    spec = content["spec"] if "kind" in content else BARE | content
    messages = ((spec.get("validation") or {}).get("smoke") or {}).get("prompts", [])
    if any("messages" in prompt for prompt in messages):
        spec["model"] = spec["model"] | {"kind": "instruct"}
    read = parse_spec({"metadata": {"name": "shown"}, "spec": spec})
    for policy in (engine.engine_arguments_refused, engine.engine_config_refused):
        assert policy(Input(read, None, "shown")) is None
    assert engine.ascend_refuses(Input(read, None, "shown")) is None
