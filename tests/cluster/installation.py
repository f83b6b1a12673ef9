"""The operator on a cluster, with models and data on its node: what the demo and the e2e tests use.

Everything here may be run again on what an earlier, broken-off run has left.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster import images
from cluster.commands import run, succeeds
from cluster.errors import ClusterError
from cluster.provider import Provider

__all__ = ["DATA", "MODELS", "install", "make_data", "make_model", "make_tiny_model", "uninstall"]

REPOSITORY = Path(__file__).resolve().parents[2]
OVERLAY = REPOSITORY / "manifests" / "overlays" / "demo"

MODELS = "/opt/atomgit"
"""Where models are on the node: the prefix that the demo's settings allow."""

DATA = f"{MODELS}/mmlu-made-up"
"""The made-up question set on the node, as the demo's `mmluData` says."""

_TINY_MODEL = REPOSITORY / "images" / "vllm-cpu" / "make_model.py"
_LOADED = "/var/lib/ascendllm-loaded"
_OPERATOR = ("-n", "ascendllm-system", "deployment/ascendllm-operator")


def install(cluster: Provider, needed: Sequence[str] = ()) -> None:
    """Images, CRD, operator; returns when the operator is available.

    Args:
        cluster: Where.
        needed: Folders in images/ of the images to load; none: all but the large ones.
    """
    renewed = _load_images(cluster, needed)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(OVERLAY))
    cluster.kubectl(
        "wait", "--for=condition=Established", "crd/ascendllms.ascendllm.io", "--timeout=60s"
    )
    if renewed:
        cluster.kubectl("rollout", "restart", *_OPERATOR)
    cluster.kubectl("rollout", "status", *_OPERATOR, "--timeout=120s")


def uninstall(cluster: Provider, models: Sequence[str]) -> None:
    """Take everything away again, for a cluster that stays.

    Args:
        cluster: Where it was installed.
        models: The models' folders that were made.
    """
    cluster.kubectl("delete", "ascendllm", "--all", "--all-namespaces", "--ignore-not-found")
    cluster.kubectl("delete", "-k", str(OVERLAY), "--ignore-not-found")
    references = [archive.reference for archive in images.archives()]
    run(cluster.node_command(["ctr", "-n", "k8s.io", "images", "rm", *references]))
    run(cluster.node_command(["rm", "-rf", DATA, _LOADED, *models]))
    # The folder of the models goes if nothing else is in it.
    succeeds(cluster.node_command(["rmdir", MODELS]))


def make_data(cluster: Provider) -> None:
    """Put the made-up question set on the node."""
    with tempfile.TemporaryDirectory() as folder:
        _make_set(Path(folder, "set"), Path(folder, "answers.json"))
        cluster.node_copy(Path(folder, "set"), DATA)


def make_model(cluster: Provider, name: str, behaviour: Mapping[str, Any]) -> str:
    """Make a model's folder on the node, for the simulator.

    Args:
        cluster: Whose node.
        name: The folder's name.
        behaviour: `simulator.json`; the answer key of the made-up set is put beside it.

    Returns:
        The folder's path on the node.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        model.mkdir()
        _make_set(Path(folder, "set"), model / "answers.json")
        config = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 131072}
        (model / "config.json").write_text(json.dumps(config))
        (model / "simulator.json").write_text(json.dumps({"answers": "answers.json", **behaviour}))
        cluster.node_copy(model, f"{MODELS}/{name}")
    return f"{MODELS}/{name}"


def make_tiny_model(cluster: Provider, name: str) -> str:
    """Make the folder of a tiny model that the real engine serves; returns its path on the node."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        run([sys.executable, str(_TINY_MODEL), str(model)])
        cluster.node_copy(model, f"{MODELS}/{name}")
    return f"{MODELS}/{name}"


def _load_images(cluster: Provider, needed: Sequence[str]) -> bool:
    """Load what the node has not got; whether the operator's image is a new one."""
    renewed = False
    for archive in images.build(needed):
        mark = f"{_LOADED}/{archive.path.name}"
        if succeeds(cluster.node_command(["test", "-e", mark])):
            continue
        cluster.load(archive.path)
        if not cluster.has_image(archive.reference):
            raise ClusterError(f"the node has no image {archive.reference} after it was loaded")
        run(cluster.node_command(["sh", "-c", f"mkdir -p {_LOADED} && touch {mark}"]))
        renewed = renewed or archive.image.folder == "operator"
    return renewed


def _make_set(folder: Path, key: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "ascendllm_simulator.dataset", str(folder), "--key", str(key)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
