from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

import ascendllm
from ascendllm.api.crd import GROUP, KIND, VERSION
from ascendllm.api.spec import Spec
from ascendllm.kube.kinds import CHILDREN, KINDS, OPTIONAL
from ascendllm.settings import PREFIX, JobImage, Settings
from cluster.imaging.catalogue import catalogue
from unit.core.documents import blocks

REPOSITORY = Path(__file__).resolve().parents[2]
BASE = REPOSITORY / "manifests" / "base"
DEMO = REPOSITORY / "manifests" / "overlays" / "demo"
EXAMPLES = sorted((REPOSITORY / "manifests" / "examples").glob("*.yaml"))
KUSTOMIZED = sorted(file.parent for file in REPOSITORY.glob("manifests/**/kustomization.yaml"))
MANIFESTS = sorted({*REPOSITORY.glob("manifests/**/*.yaml"), *REPOSITORY.glob("crds/*.yaml")})

CHILD = {"get", "list", "watch", "create", "patch", "delete"}
OPERATOR_MAY = {
    "ascendllm.io/ascendllms": {"get", "list", "watch"},
    "ascendllm.io/ascendllms/status": {"patch"},
    "apps/controllerrevisions": CHILD,
    "apps/deployments": CHILD,
    "apps/replicasets": {"get"},
    "apps/statefulsets": {"get"},
    "leaderworkerset.x-k8s.io/leaderworkersets": CHILD - {"watch"},
    "batch/jobs": CHILD,
    "/configmaps": CHILD,
    "/services": CHILD,
    "/persistentvolumeclaims": CHILD - {"watch"},
    "/serviceaccounts": CHILD,
    "rbac.authorization.k8s.io/roles": CHILD - {"watch"},
    "rbac.authorization.k8s.io/rolebindings": CHILD - {"watch"},
    "policy/poddisruptionbudgets": CHILD - {"watch"},
    "autoscaling/horizontalpodautoscalers": CHILD - {"watch"},
    "keda.sh/scaledobjects": CHILD - {"watch"},
    "gateway.networking.k8s.io/httproutes": CHILD - {"watch"},
    "networking.k8s.io/ingresses": CHILD - {"watch"},
    "/pods": {"list", "watch", "delete"},
    "/pods/log": {"get"},
    "/nodes": {"list"},
    "/events": {"create"},
}


def documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def base_object(kind: str, name: str = "ascendllm-operator") -> dict[str, Any]:
    found = [
        item
        for file in BASE.glob("*.yaml")
        for item in documents(file)
        if item["kind"] == kind and item.get("metadata", {}).get("name") == name
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)} times in manifests/base"
    return found[0]


def permissions(role: dict[str, Any]) -> dict[str, set[str]]:
    granted: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted.setdefault(f"{group}/{resource}", set()).update(rule["verbs"])
    return granted


def pod_spec() -> dict[str, Any]:
    template: dict[str, Any] = base_object("Deployment")["spec"]["template"]
    spec: dict[str, Any] = template["spec"]
    return spec


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_manifest_is_an_object_of_one_api(file: Path) -> None:
    items = documents(file)
    assert items
    for item in items:
        assert item["apiVersion"], file
        assert item["kind"], file
        if item["kind"] != "Kustomization":
            assert item["metadata"]["name"], file


@pytest.mark.parametrize("folder", KUSTOMIZED, ids=lambda folder: folder.name)
def test_a_kustomization_uses_every_file_beside_it(folder: Path) -> None:
    kustomization = documents(folder / "kustomization.yaml")[0]
    named = set(kustomization["resources"])
    named |= {patch["path"] for patch in kustomization.get("patches", [])}
    beside = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert {name for name in named if "/" not in name} == beside
    assert all((folder / name).exists() for name in named)


def test_nothing_is_run_as_latest() -> None:
    for file in MANIFESTS:
        for item in documents(file):
            assert not any(text.endswith(":latest") for text in strings(item)), file


def test_the_images_have_the_version_of_the_package() -> None:
    version = ascendllm.__version__
    image = f"registry.invalid/ascendllm/operator:{version}"
    assert pod_spec()["containers"][0]["image"] == image
    demo = documents(DEMO / "kustomization.yaml")[0]
    assert demo["images"] == [
        {
            "name": "registry.invalid/ascendllm/operator",
            "newName": "localhost/ascendllm/operator",
            "newTag": version,
        }
    ]


def test_the_demo_runs_what_is_built() -> None:
    built = {image.folder: image.reference for image in catalogue()}
    demo = documents(DEMO / "kustomization.yaml")[0]["images"][0]
    settings = documents(DEMO / "settings.yaml")[0]["data"]
    jobs = Settings.from_mapping(settings)
    model = documents(REPOSITORY / "manifests/examples/meta-llama-3-1-8b.yaml")[0]["spec"]
    generation = model["npu"]["generation"].lower()
    simulated = f"{jobs.runtime_repository}:{model['runtime']['version']}-{generation}"
    assert built["operator"] == f"{demo['newName']}:{demo['newTag']}"
    for name in get_args(JobImage):
        assert built[name] == jobs.image_of(name)
    assert built["simulator"] == simulated


@pytest.mark.parametrize("name", ["README.md", "README.zh.md", "docs/installing.md"])
def test_the_documented_overlay_is_complete(name: str) -> None:
    found = (block.content for block in blocks(REPOSITORY / name))
    [overlay] = [yaml.safe_load(text) for text in found if text.startswith("apiVersion: kustomize")]
    demo = documents(DEMO / "kustomization.yaml")[0]
    assert overlay["resources"] == demo["resources"]
    assert overlay["replacements"] == demo["replacements"]
    [image], [shown] = overlay["images"], demo["images"]
    assert image["name"] == shown["name"]
    [patch] = overlay["patches"]
    patched = yaml.safe_load(patch["patch"])
    assert patched["metadata"] == documents(DEMO / "settings.yaml")[0]["metadata"]
    settings = Settings.from_mapping(base_object("ConfigMap")["data"] | patched["data"])
    version = ascendllm.__version__
    own = [settings.image_of(name) for name in get_args(JobImage)]
    assert own == [f"registry.example.com/ascendllm/{n}:{version}" for n in get_args(JobImage)]
    assert f"{image['newName']}:{image['newTag']}" == (
        f"{settings.image_repository}/operator:{version}"
    )


def test_the_documented_patch_is_one_of_the_operators_deployment() -> None:
    found = (block.content for block in blocks(REPOSITORY / "docs/installing.md"))
    [[entry]] = [yaml.safe_load(text) for text in found if text.startswith("- patch:")]
    patch, deployment = yaml.safe_load(entry["patch"]), base_object("Deployment")
    assert patch["kind"] == "Deployment"
    for field in ("name", "namespace"):
        assert patch["metadata"][field] == deployment["metadata"][field]
    assert set(patch["spec"]["template"]["spec"]) == {"imagePullSecrets"}


def test_the_base_names_no_image_that_somebody_could_register() -> None:
    """A name without a registry is Docker Hub's, and `ascendllm` there belongs to nobody yet."""
    settings = Settings.from_mapping(base_object("ConfigMap")["data"])
    assert [settings.image_of(name) for name in get_args(JobImage)] == [None, None, None]
    for file in BASE.glob("*.yaml"):
        for text in (text for item in documents(file) for text in strings(item)):
            assert not text.startswith(("ascendllm/", "docker.io/")), f"{file}: {text}"


def test_the_base_settings_are_the_defaults_and_name_every_key() -> None:
    data = base_object("ConfigMap")["data"]
    assert Settings.from_mapping(data) == Settings()
    assert set(data) == {field.alias for field in Settings.model_fields.values()}


def test_the_demo_settings_allow_its_example() -> None:
    data = documents(DEMO / "settings.yaml")[0]["data"]
    settings = Settings.from_mapping({**base_object("ConfigMap")["data"], **data})
    example = documents(REPOSITORY / "manifests/examples/meta-llama-3-1-8b.yaml")[0]
    assert settings.allows_host_path(example["spec"]["model"]["source"]["hostPath"])
    assert settings.mmlu_data is not None
    assert settings.mmlu_data.custom
    assert settings.mmlu_data.host_path is not None
    assert settings.allows_host_path(settings.mmlu_data.host_path)


def test_the_operator_reads_its_settings_from_its_config_map() -> None:
    container = pod_spec()["containers"][0]
    assert container["envFrom"] == [
        {"prefix": PREFIX, "configMapRef": {"name": "ascendllm-operator"}}
    ]
    assert {item["name"] for item in container["env"]} == {"POD_NAME", "POD_NAMESPACE"}


def test_changed_settings_restart_the_operator() -> None:
    base, demo = (documents(folder / "kustomization.yaml")[0] for folder in (BASE, DEMO))
    del base["replacements"][0]["targets"][0]["options"]
    assert base["replacements"] == demo["replacements"]
    replacement = base["replacements"][0]
    assert replacement["source"] == {
        "kind": "ConfigMap",
        "name": "ascendllm-operator",
        "fieldPath": "data",
    }
    assert replacement["targets"][0]["fieldPaths"] == ["spec.template.metadata.annotations"]


def test_the_operator_is_confined() -> None:
    spec = pod_spec()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"].keys() == {"memory"}
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert [volume.keys() for volume in spec["volumes"]] == [{"name", "emptyDir"}]
    labels = base_object("Namespace", "ascendllm-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_one_operator_at_a_time() -> None:
    spec = base_object("Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_the_operator_is_probed_where_it_answers() -> None:
    container = pod_spec()["containers"][0]
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    probes = {name: container[name]["httpGet"] for name in container if name.endswith("Probe")}
    assert probes == {
        "startupProbe": {"path": "/healthz", "port": "http"},
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }


def test_the_operator_may_do_exactly_this() -> None:
    assert permissions(base_object("ClusterRole")) == OPERATOR_MAY
    rules = base_object("ClusterRole")["rules"]
    assert all(rule.keys() == {"apiGroups", "resources", "verbs"} for rule in rules)


def test_every_kind_that_the_code_touches_has_its_rights() -> None:
    for kind, about in KINDS.items():
        resource = f"{about.group}/{about.plural}"
        if kind == "Lease":
            continue
        assert resource in OPERATOR_MAY, kind
        if kind in (*CHILDREN, *OPTIONAL) and kind != "Pod":
            assert CHILD - {"watch"} <= OPERATOR_MAY[resource], kind


def test_the_operator_may_keep_its_lease_and_no_other() -> None:
    role = base_object("Role")
    assert role["metadata"]["namespace"] == "ascendllm-system"
    assert role["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["ascendllm-operator"],
            "verbs": ["get", "update"],
        },
    ]


@pytest.mark.parametrize("kind", ["ClusterRole", "Role"])
def test_the_rights_are_bound_to_the_operator_alone(kind: str) -> None:
    binding = base_object(f"{kind}Binding")
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": kind,
        "name": "ascendllm-operator",
    }
    assert binding["subjects"] == [
        {
            "kind": "ServiceAccount",
            "name": "ascendllm-operator",
            "namespace": "ascendllm-system",
        }
    ]
    assert pod_spec()["serviceAccountName"] == "ascendllm-operator"


def test_users_may_edit_the_resource_but_not_its_status() -> None:
    view = base_object("ClusterRole", "ascendllm-view")
    edit = base_object("ClusterRole", "ascendllm-edit")
    assert permissions(view) == {
        "ascendllm.io/ascendllms": {"get", "list", "watch"},
        "ascendllm.io/ascendllms/scale": {"get", "list", "watch"},
        "ascendllm.io/ascendllms/status": {"get", "list", "watch"},
    }
    assert permissions(edit) == {
        "ascendllm.io/ascendllms": {"create", "delete", "deletecollection", "patch", "update"},
        "ascendllm.io/ascendllms/scale": {"patch", "update"},
    }
    aggregated = "rbac.authorization.k8s.io/aggregate-to-"
    assert set(view["metadata"]["labels"]) == {f"{aggregated}view"}
    assert set(edit["metadata"]["labels"]) == {f"{aggregated}edit", f"{aggregated}admin"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_a_resource_of_its_files_name(file: Path) -> None:
    [item] = documents(file)
    assert (item["apiVersion"], item["kind"]) == (f"{GROUP}/{VERSION}", KIND)
    assert item["metadata"] == {"name": file.stem}
    assert len(file.stem) <= 36
    Spec.model_validate(item["spec"])


def test_the_first_example_is_the_published_one() -> None:
    [item] = documents(REPOSITORY / "manifests/examples/meta-llama-3-1-8b.yaml")
    spec = item["spec"]
    assert spec["model"] == {
        "source": {"hostPath": "/opt/atomgit/Meta-Llama-3.1-8B"},
        "servedName": "meta-llama-3.1-8b",
        "kind": "base",
    }
    assert spec["runtime"] == {
        "version": "v0.18.0rc1",
        "env": {
            "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True",
            "TASK_QUEUE_ENABLE": "1",
            "OMP_PROC_BIND": "false",
            "OMP_NUM_THREADS": "1",
        },
    }
    assert spec["npu"] == {"count": 1, "generation": "A3"}
    assert spec["engine"] == {
        "maxModelLen": 4096,
        "maxNumSeqs": 16,
        "memoryUtilization": 0.90,
        "dtype": "bfloat16",
        "seed": 1024,
        "trustRemoteCode": True,
    }
    assert spec["validation"] == {
        "smoke": {},
        "bench": {"inputTokens": 128, "outputTokens": 128, "concurrency": 4, "requests": 20},
        "mmlu": {
            "shots": 5,
            "baseline": {
                "value": 66.7,
                "average": "macro",
                "source": "Meta, Llama 3.1 evaluation details",
            },
            "tolerance": 1.0,
        },
    }
