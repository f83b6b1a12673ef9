"""`ascendllm render`: what is applied, of every golden case, without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ascendllm.cli.render import command
from ascendllm.report.overview import unused_caches
from unit.core.test_golden import CASES, GOLDEN, objects


def rendered(case: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(command, ["-f", str(GOLDEN / case / "in.yaml"), "--generation=A3"])
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.stdout))


def name_of(item: dict[str, Any]) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_rendered_whole(case: str) -> None:
    kinds = [item["kind"] for item in rendered(case)]
    assert "ControllerRevision" in kinds
    assert "Deployment" in kinds or "LeaderWorkerSet" in kinds or "dummy" in case


@pytest.mark.parametrize(
    "case", ["hugging-face", "model-scope", "s3", "oci-cached", "loras-downloaded"]
)
def test_a_download_is_rendered_before_what_it_is_for(case: str) -> None:
    names = [name_of(item) for item in rendered(case)]
    kinds = [kind for kind, _ in names]
    assert kinds.index("Job") < kinds.index("Deployment")
    wanted = {name_of(item) for item in objects(case)}
    assert {name for kind, name in names if kind == "Job"} == {
        name for kind, name in wanted if kind == "Job"
    }


def test_kept_caches_are_told_once_nobody_uses_them() -> None:
    claims = [
        {"metadata": {"name": name}, "status": {"capacity": {"storage": "40Gi"}}}
        for name in ("model-a", "model-b")
    ]
    told = unused_caches(claims, [{"metadata": {"name": "model-a"}}])
    assert "model-b" in told
    assert "40Gi" in told
    assert "model-a" not in told
    assert unused_caches(claims[:1], [{"metadata": {"name": "model-a"}}]) == ""


@pytest.mark.parametrize("levels", [33, 150, 1_500])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_deep_file_is_refused_with_the_limit(tmp_path: Path, levels: int, form: str) -> None:
    deep = '{"a":' * levels + "1" + "}" * levels
    if form == "yaml":
        deep = "".join(f"\n{' ' * (8 + n)}a:" for n in range(levels)) + " 1"
    file = tmp_path / "deep.yaml"
    file.write_text(
        "apiVersion: ascendllm.io/v1alpha1\nkind: AscendLLM\nmetadata: {name: deep}\nspec:\n"
        f"  model: {{source: {{hostPath: /m}}}}\n  engine:\n    additionalConfig: {deep}\n"
    )
    done = CliRunner().invoke(command, ["-f", str(file), "--generation=A3"])
    assert done.exit_code == 1
    assert "32" in done.output
    assert "flatten it" in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
