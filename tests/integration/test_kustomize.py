from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.control_plane import ControlPlane

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
DEMO = MANIFESTS / "overlays" / "demo"
FOLDERS = [MANIFESTS / "base", DEMO]


def rendered(plane: ControlPlane, folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    items = yaml.safe_load_all(plane.kubectl("kustomize", str(folder)))
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_api_server_takes_the_manifests(control_plane: ControlPlane, folder: Path) -> None:
    said = control_plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", str(folder)
    )
    assert len(said.splitlines()) == len(rendered(control_plane, folder))
    assert all("serverside-applied" in line for line in said.splitlines())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_settings_are_in_the_pod_template(control_plane: ControlPlane, folder: Path) -> None:
    items = rendered(control_plane, folder)
    settings = items["ConfigMap", "ascendllm-operator"]["data"]
    template = items["Deployment", "ascendllm-operator"]["spec"]["template"]
    assert template["metadata"]["annotations"] == settings


def test_the_demo_pulls_nothing(control_plane: ControlPlane) -> None:
    items = rendered(control_plane, DEMO)
    pod = items["Deployment", "ascendllm-operator"]["spec"]["template"]["spec"]
    settings = items["ConfigMap", "ascendllm-operator"]["data"]
    images = [container["image"] for container in pod["containers"]]
    images += [settings["runtimeRepository"], f"{settings['imageRepository']}/"]
    assert all(image.startswith("localhost/ascendllm/") for image in images)
    assert not any(settings[f"{name}Image"] for name in ("validator", "downloader", "evals"))


def test_the_base_runs_no_image_that_can_be_pulled(control_plane: ControlPlane) -> None:
    items = rendered(control_plane, MANIFESTS / "base")
    pod = items["Deployment", "ascendllm-operator"]["spec"]["template"]["spec"]
    assert [container["image"].split("/")[0] for container in pod["containers"]] == [
        "registry.invalid"
    ]


def test_the_api_server_takes_the_examples(control_plane: ControlPlane) -> None:
    folder = MANIFESTS / "examples"
    said = control_plane.kubectl("apply", "--dry-run=server", "-f", str(folder))
    assert len(said.splitlines()) == len(list(folder.glob("*.yaml")))
    assert all("created" in line for line in said.splitlines())
