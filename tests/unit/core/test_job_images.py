"""Images of the operator's own: none has a default, and who needs one that is unset is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import ascendllm
from ascendllm.cli.render import command as render
from ascendllm.desired import names
from ascendllm.settings import Settings
from unit.core.stage import SETTINGS, Stage, spec_of

IMAGES = ("validator_image", "downloader_image", "evals_image")
SIZE = {"cache": {"size": "40Gi"}}
FOLDER = {"pvc": {"claimName": "data"}}
HUB = {"huggingFace": {"repo": "org/llama"}}
EVALS = {"evals": [{"task": "gsm8k"}]}
REFERENCE = {"reference": {"configMap": "reference"}}


def without(*images: str) -> Settings:
    """The tests' settings with some images unset."""
    return Settings.model_validate(SETTINGS.model_dump() | dict.fromkeys(images))


def downloading(source: dict[str, Any]) -> dict[str, Any]:
    return {"validation": None, "model": {"source": source, **SIZE}}


NEEDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "dummy": ({"validation": {"dummy": {}}}, "validator", "spec.validation.dummy"),
    "smoke": ({"validation": {"smoke": {}}}, "validator", "spec.validation.smoke"),
    "bench": ({"validation": {"bench": {}}}, "validator", "spec.validation.bench"),
    "mmlu": ({"validation": {"mmlu": {}}}, "validator", "spec.validation.mmlu"),
    "parity": ({"validation": {"parity": REFERENCE}}, "validator", "spec.validation.parity"),
    "evals": ({"validation": EVALS}, "evals", "spec.validation.evals"),
    "huggingFace": (downloading(HUB), "downloader", "spec.model.source.huggingFace"),
    "modelScope": (
        downloading({"modelScope": {"repo": "org/llama"}}),
        "downloader",
        "spec.model.source.modelScope",
    ),
    "s3": (
        downloading({"s3": {"uri": "s3://models/llama/"}}),
        "downloader",
        "spec.model.source.s3",
    ),
    "a cached image": (
        downloading({"oci": {"image": "registry.test/llama:1"}}),
        "downloader",
        "spec.model.source.oci",
    ),
    "an adapter": (
        {"validation": None, "engine": {"loras": [{"name": "legal", "source": HUB, **SIZE}]}},
        "downloader",
        "spec.engine.loras[legal].source.huggingFace",
    ),
}
"""What needs which image, and the field that the refusal names."""

NO_NEED: dict[str, dict[str, Any]] = {
    "no check": {"validation": None},
    "a claim": {"validation": None, "model": {"source": {"pvc": {"claimName": "models"}}}},
    "an image that is not cached": {
        "validation": None,
        "model": {"source": {"oci": {"image": "registry.test/llama:1"}}},
    },
    "no pods": {"replicas": 0},
    "suspended": {"suspend": True, **downloading(HUB), "validation": {"smoke": {}}},
}


@pytest.mark.parametrize(("fields", "image", "field"), NEEDS.values(), ids=NEEDS)
class TestAResourceThatNeedsAnImage:
    def test_is_refused_before_a_pod_takes_an_npu(
        self, fields: dict[str, Any], image: str, field: str
    ) -> None:
        stage = Stage(spec_of(**fields), settings=without(f"{image}_image"))
        stage.settle()
        assert stage.conditions["Ready"] == "False/ImageNotConfigured"
        assert stage.conditions["Stalled"] == "True/ImageNotConfigured"
        message = stage.status["conditions"][0]["message"]
        for part in (field, f"{image}Image", "imageRepository", "ConfigMap ascendllm-operator"):
            assert part in message
        created = {kind for kind, _ in stage.objects}
        assert created.isdisjoint(
            ("Deployment", "LeaderWorkerSet", "Job", "PersistentVolumeClaim", "ConfigMap")
        )

    def test_needs_no_other_image(self, fields: dict[str, Any], image: str, field: str) -> None:
        others = (name for name in IMAGES if name != f"{image}_image")
        stage = Stage(spec_of(**fields), settings=without(*others))
        stage.settle()
        assert stage.conditions["Ready"].startswith("Unknown/")
        assert "Stalled" not in stage.conditions

    def test_runs_the_image_of_the_repository(
        self, fields: dict[str, Any], image: str, field: str
    ) -> None:
        settings = without(*IMAGES).model_copy(update={"image_repository": "registry.test/own"})
        stage = Stage(spec_of(**fields), settings=settings)
        stage.settle()
        stage.move_pods()
        stage.settle()
        (job,) = stage.of("Job")
        containers = job["spec"]["template"]["spec"]["containers"]
        assert f"registry.test/own/{image}:{ascendllm.__version__}" in [
            container["image"] for container in containers
        ]

    def test_goes_on_once_the_operator_names_it(
        self, fields: dict[str, Any], image: str, field: str
    ) -> None:
        stage = Stage(spec_of(**fields), settings=without(f"{image}_image"))
        stage.settle()
        stage.settings = SETTINGS
        stage.settle()
        stage.move_pods()
        stage.settle()
        assert len(stage.of("Job")) == 1

    def test_is_refused_by_render_too(
        self, fields: dict[str, Any], image: str, field: str, tmp_path: Any
    ) -> None:
        settings = {
            "hostPathPrefixes": "/opt/atomgit",
            "mmluData": "{pvc: {claimName: mmlu}}",
            **{f"{name}Image": "x" for name in ("validator", "downloader", "evals")},
        }
        file = tmp_path / "settings.yaml"
        file.write_text(yaml.safe_dump({"kind": "ConfigMap", "data": settings}))
        resource = resource_of(fields)
        named = CliRunner().invoke(render, ["-f", "-", f"--settings={file}"], input=resource)
        assert (named.exit_code, named.stderr) == (0, "")

        del settings[f"{image}Image"]
        file.write_text(yaml.safe_dump({"kind": "ConfigMap", "data": settings}))
        refused = CliRunner().invoke(render, ["-f", "-", f"--settings={file}"], input=resource)
        assert refused.exit_code == 1
        assert refused.stdout == ""
        for part in ("ImageNotConfigured", field, f"{image}Image", "imageRepository"):
            assert part in refused.stderr

    def test_is_rendered_with_a_warning_without_settings(
        self, fields: dict[str, Any], image: str, field: str
    ) -> None:
        done = CliRunner().invoke(render, ["-f", "-"], input=resource_of(fields))
        assert done.exit_code == 0
        for part in ("warning", "--settings", "ImageNotConfigured", field, "imageRepository"):
            assert part in done.stderr
        jobs = [item for item in yaml.safe_load_all(done.stdout) if item["kind"] == "Job"]
        ours = [job["spec"]["template"]["spec"]["containers"][0]["image"] for job in jobs]
        # The other checks' jobs follow once pods are ready.
        expected = image == "downloader" or "dummy" in field
        assert ours == (
            [f"registry.invalid/ascendllm/{image}:{ascendllm.__version__}"] if expected else []
        )


def resource_of(fields: dict[str, Any]) -> str:
    spec = spec_of(**fields).model_dump(mode="json", by_alias=True, exclude_unset=True)
    return yaml.safe_dump(
        {
            "apiVersion": "ascendllm.io/v1alpha1",
            "kind": "AscendLLM",
            "metadata": {"name": "llama"},
            "spec": spec,
        }
    )


@pytest.mark.parametrize("fields", NO_NEED.values(), ids=NO_NEED)
def test_who_needs_no_job_needs_no_image(fields: dict[str, Any]) -> None:
    stage = Stage(spec_of(**fields), settings=without(*IMAGES))
    stage.settle()
    stage.move_pods()
    stage.settle()
    assert stage.conditions["Ready"].startswith("True/")


def test_replicas_that_are_raised_without_an_image_take_no_npu() -> None:
    stage = Stage(spec_of(replicas=0), settings=without(*IMAGES))
    stage.settle()
    stage.change(spec_of(replicas=1))
    stage.settle()
    assert stage.conditions["Ready"] == "False/ImageNotConfigured"
    assert all(item["spec"]["replicas"] == 0 for item in stage.of("Deployment"))


def upgraded(stage: Stage) -> Stage:
    """The same cluster under an operator whose settings name no image."""
    stage.settings = without(*IMAGES)
    stage.pass_time(minutes=1)
    return stage


def proven() -> Stage:
    """Downloaded, proven and served by an older operator, whose images had defaults."""
    stage = Stage(
        spec_of(model={"source": HUB, **SIZE}, validation={"smoke": {}, "bench": {}, **EVALS})
    )
    stage.prove("smoke", "bench", "evals")
    assert stage.conditions["Ready"] == "True/Proven"
    return stage


class TestAProvenResource:
    def test_stays_ready_without_the_images(self) -> None:
        stage = proven()
        before, conditions = dict(stage.objects), stage.status["conditions"]
        assert not upgraded(stage).step()
        assert stage.objects == before
        assert stage.status["conditions"] == conditions
        assert stage.status["verdict"] == "Passed"

    def test_is_still_scaled_and_repaired(self) -> None:
        stage = upgraded(proven())
        spec = stage.spec.model_copy(update={"replicas": 2})
        stage.change(spec)
        stage.settle()
        (deployment,) = stage.of("Deployment")
        assert deployment["spec"]["replicas"] == 2
        stage.move_pods()
        stage.settle()
        assert stage.conditions["Ready"] == "True/Proven"

    def test_returns_to_an_earlier_proof(self) -> None:
        """Another revision takes over and is given up: what was proven needs no job."""
        stage = proven()
        first, spec = stage.served, stage.spec
        other = spec.engine.model_copy(update={"max_model_len": 2048})
        stage.change(spec.model_copy(update={"engine": other}))
        stage.load()
        for check in ("smoke", "bench", "evals"):
            stage.finish(check)
        assert stage.served != first
        upgraded(stage).change(spec)
        stage.load()
        assert stage.served == first
        assert stage.conditions["Ready"] == "True/Proven"

    def test_takes_new_bounds_without_a_job(self) -> None:
        stage = upgraded(proven())
        bench = {"thresholds": {"outputThroughput": {"min": 100_000}}}
        stage.change(
            spec_of(
                model={"source": HUB, **SIZE}, validation={"smoke": {}, "bench": bench, **EVALS}
            )
        )
        stage.settle()
        assert stage.conditions["Ready"] == "False/Regression"


def annotated(stage: Stage) -> None:
    stage.annotate("again")


def scheduled(stage: Stage) -> None:
    stage.pass_time(hours=25)


def with_another_check(stage: Stage) -> None:
    validation = {"smoke": {}, "bench": {"requests": 40}, "schedule": "0 3 * * *", **EVALS}
    stage.change(spec_of(validation=validation))


AGAIN = [annotated, scheduled, with_another_check]


@pytest.mark.parametrize("again", AGAIN)
class TestCheckingAgainWithoutAnImage:
    @pytest.fixture
    def stage(self, again: Callable[[Stage], None]) -> Stage:
        stage = Stage(
            spec_of(validation={"smoke": {}, "bench": {}, "schedule": "0 3 * * *", **EVALS})
        )
        stage.prove("smoke", "bench", "evals")
        upgraded(stage).settle()
        assert stage.conditions["Ready"] == "True/Proven"
        again(stage)
        stage.settle()
        return stage

    def test_is_refused_and_traffic_stays(self, stage: Stage) -> None:
        served = stage.served
        assert stage.conditions["Ready"] == "False/ImageNotConfigured"
        assert stage.conditions["Stalled"] == "True/ImageNotConfigured"
        assert stage.conditions["Available"] == "True/Serving"
        assert stage.status["servedRevision"] == served
        assert stage.status["readyReplicas"] == 1
        assert stage.status["verdict"] in ("Passed", "None")
        assert "lastHandledRevalidate" not in stage.status
        assert stage.running() is None
        (deployment,) = stage.of("Deployment")
        assert deployment["spec"]["replicas"] == 1

    def test_leaves_the_pods_in_care(self, stage: Stage) -> None:
        """A schedule must not end the operator's care for what serves."""
        name = f"llama-{stage.served}"
        del stage.objects["Deployment", name]
        stage.settle()
        assert ("Deployment", name) in stage.objects
        stage.change(stage.spec.model_copy(update={"replicas": 3}))
        stage.settle()
        assert stage.objects["Deployment", name]["spec"]["replicas"] == 3

    def test_begins_once_the_operator_names_it(self, stage: Stage) -> None:
        stage.settings = SETTINGS
        stage.settle()
        assert stage.running() in ("smoke", "bench")
        while (check := stage.running()) is not None:
            stage.finish(check)
        assert stage.conditions["Ready"] == "True/Proven"


def test_one_missing_image_holds_all_checks_of_a_served_revision() -> None:
    stage = Stage(spec_of(validation={"smoke": {}, **EVALS}))
    stage.prove("smoke", "evals")
    stage.settings = without("evals_image")
    stage.annotate("again")
    stage.settle()
    assert stage.conditions["Ready"] == "False/ImageNotConfigured"
    assert stage.running() is None


def test_a_job_that_runs_while_the_operator_is_upgraded_comes_to_its_end() -> None:
    stage = Stage()
    stage.load()
    stage.finish("smoke")
    assert stage.running() == "bench"
    upgraded(stage).settle()
    assert stage.conditions["Ready"] == "False/ImageNotConfigured"
    assert stage.running() == "bench"
    stage.finish("bench")
    assert stage.running() is None
    stage.settings = SETTINGS
    stage.settle()
    assert stage.running() == "mmlu"
    stage.finish("mmlu")
    assert stage.conditions["Ready"] == "True/Proven"


def test_the_last_job_that_runs_while_the_operator_is_upgraded_proves() -> None:
    stage = Stage(spec_of(validation={"smoke": {}}))
    stage.load()
    upgraded(stage).settle()
    assert stage.conditions["Ready"] == "Unknown/Validating"
    stage.finish("smoke")
    assert stage.conditions["Ready"] == "True/Proven"


def test_a_download_that_runs_while_the_operator_is_upgraded_comes_to_its_end() -> None:
    stage = Stage(spec_of(**downloading(HUB)))
    stage.settle()
    upgraded(stage).settle()
    assert stage.conditions["Ready"] == "Unknown/Downloading"
    stage.download()
    stage.move_pods()
    stage.settle()
    assert stage.conditions["Ready"] == "True/NoValidation"


def test_a_download_that_failed_is_not_tried_again_without_an_image() -> None:
    stage = Stage(spec_of(**downloading(HUB)))
    stage.settle()
    stage.download(result="Failed", reason="SourceUnreachable", message="no", again=True)
    upgraded(stage).pass_time(hours=1)
    stage.settle()
    assert stage.conditions["Ready"] == "False/ImageNotConfigured"
    assert not stage.of("Job")


def test_a_model_that_another_resource_downloaded_needs_no_image() -> None:
    first = Stage(spec_of(**downloading(HUB)))
    first.load()
    second = Stage(spec_of(**downloading(HUB)), name="other", settings=without(*IMAGES))
    second.objects |= {
        key: item
        for key, item in first.objects.items()
        if names.CACHE in item["metadata"].get("labels", {})
    }
    second.settle()
    second.move_pods()
    second.settle()
    assert second.conditions["Ready"] == "True/NoValidation"


def test_a_new_revision_without_an_image_leaves_the_served_one_alone() -> None:
    stage = Stage()
    stage.prove()
    served = stage.served
    upgraded(stage).change(spec_of(engine={"maxModelLen": 2048}))
    stage.settle()
    assert stage.conditions["Ready"] == "False/ImageNotConfigured"
    assert stage.conditions["Available"] == "True/Serving"
    assert stage.served == served
    (deployment,) = stage.of("Deployment")
    assert deployment["metadata"]["name"] == f"llama-{served}"
