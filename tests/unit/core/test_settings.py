"""The operator's settings: a wrong one is named."""

from __future__ import annotations

from typing import get_args

import pytest

import ascendllm
from ascendllm.exceptions import SettingsError
from ascendllm.settings import JobImage, Settings


def test_unset_and_empty_are_the_defaults() -> None:
    empty = {"hostPathPrefixes": "", "runtimeVersion": "", "mmluData": "", "validatorImage": None}
    assert Settings.from_mapping(empty) == Settings()
    assert Settings().host_path_prefixes == ()
    assert Settings.from_environment({"PATH": "/bin", "ASCENDLLM_SIMULATE": "{}"}) == Settings()


def test_given_as_environment() -> None:
    settings = Settings.from_environment(
        {
            "ASCENDLLM_hostPathPrefixes": " /a , /b/c\n/d ",
            "ASCENDLLM_mmluData": "{pvc: {claimName: mmlu}, custom: true}",
            "ASCENDLLM_evalsImage": "registry.test/evals:1",
            "ASCENDLLM_imageRepository": "registry.test/mirror",
        }
    )
    assert settings.evals_image == "registry.test/evals:1"
    assert settings.image_repository == "registry.test/mirror"
    assert settings.host_path_prefixes == ("/a", "/b/c", "/d")
    assert settings.mmlu_data is not None
    assert settings.mmlu_data.custom is True


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hostPathPrefixes", "relative"),
        ("hostPathPrefixes", "/a/../b"),
        ("hostPathPrefixes", "/"),
        ("hostPathPrefixes", "//"),
        ("hostPathPrefixes", "///"),
        ("hostPathPrefixes", "/."),
        ("hostPathPrefixes", "//./."),
        ("hostPathPrefixes", "/opt/models, /"),
        ("driverPaths", "usr/local/dcmi/"),
        ("driverPaths", "/usr/local/dcmi/, /"),
        ("driverPaths", "/./"),
        ("imageRepository", "/"),
        ("imageRepository", "ascendllm"),
        ("imageRepository", "example/ascendllm"),
        ("imageRepository", "https://registry.test/ascendllm"),
        ("imageRepository", "user@registry.test/ascendllm"),
        ("imageRepository", "registry.test/ascendllm:0.1.0"),
        ("imageRepository", "registry.test:v1"),
        ("imageRepository", "registry.test/ascendllm@sha256:" + "0" * 64),
        ("imageRepository", "registry.test//ascendllm"),
        ("imageRepository", "registry.test/../ascendllm"),
        ("imageRepository", "registry.test/AscendLLM"),
        ("imageRepository", "registry.test/ascend llm"),
        ("imageRepository", "registry.test/ascendllm\n"),
        ("imageRepository", "registry.test/" + "a" * 200),
        ("hangTimeout", "soon"),
        ("hangTimeout", "5s"),
        ("hangTimeout", "48h"),
        ("mmluData", "{"),
        ("mmluData", "text"),
        ("mmluData", "[]"),
        ("mmluData", "{pvc: {claimName: a}, image: b}"),
        ("mmluData", "{s3: {uri: 'https://bucket/mmlu'}}"),
        ("mmluData", "{s3: {uri: 's3://bucket/mmlu', secretKey: abc}}"),
        ("mmluData", "{hostpath: /a}"),
        ("runtimeVersions", "v1"),
    ],
)
def test_a_wrong_one_is_named(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=key):
        Settings.from_mapping({key: value})


def test_data_may_lie_in_an_object_store() -> None:
    text = "{s3: {uri: 's3://datasets/mmlu/', endpoint: 'https://obs.example.com'}}"
    data = Settings.from_mapping({"mmluData": text}).mmlu_data
    assert data is not None
    assert data.s3 is not None
    assert data.s3.uri == "s3://datasets/mmlu/"


@pytest.mark.parametrize(
    ("prefix", "path", "allowed"),
    [
        ("/opt/models", "/opt/models", True),
        ("/opt/models", "/opt/models/a/b", True),
        ("/opt/models/", "/opt/models/a", True),
        ("/opt/models", "/opt/models2", False),
        ("/opt/models", "/opt", False),
        ("/opt/models", "/opt/models/../etc", False),
        ("/opt/models", "//opt/models/a", False),
        ("/opt/models", "/opt//models/./a", True),
    ],
)
def test_a_prefix_counts_by_whole_components(prefix: str, path: str, allowed: bool) -> None:
    assert Settings(host_path_prefixes=(prefix,)).allows_host_path(path) is allowed


IMAGES: tuple[JobImage, ...] = get_args(JobImage)


def test_no_image_of_the_operator_has_a_default() -> None:
    assert [Settings().image_of(name) for name in IMAGES] == [None, None, None]


@pytest.mark.parametrize(
    ("repository", "prefix"),
    [
        ("registry.test/ascendllm", "registry.test/ascendllm"),
        ("registry.test/ascendllm/", "registry.test/ascendllm"),
        ("registry.test/ascendllm//", "registry.test/ascendllm"),
        ("registry.test", "registry.test"),
        ("registry.test:5000", "registry.test:5000"),
        ("registry.test:5000/a/b_c/d--e", "registry.test:5000/a/b_c/d--e"),
        ("Registry.Test/ascendllm", "Registry.Test/ascendllm"),
        ("localhost/ascendllm", "localhost/ascendllm"),
        ("10.0.0.1:5000/ascendllm", "10.0.0.1:5000/ascendllm"),
        ("[fd00::1]:5000/ascendllm", "[fd00::1]:5000/ascendllm"),
        ("docker.io/example", "docker.io/example"),
    ],
)
def test_the_image_repository_fills_every_unset_image(repository: str, prefix: str) -> None:
    settings = Settings.from_mapping({"imageRepository": repository})
    assert [settings.image_of(name) for name in IMAGES] == [
        f"{prefix}/{name}:{ascendllm.__version__}" for name in IMAGES
    ]


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_that_is_set_wins_over_the_image_repository(name: JobImage) -> None:
    own = {f"{name}Image": "elsewhere.test/own:7"}
    settings = Settings.from_mapping({"imageRepository": "registry.test/ascendllm"} | own)
    assert settings.image_of(name) == "elsewhere.test/own:7"
    assert {settings.image_of(other) for other in IMAGES if other != name} == {
        f"registry.test/ascendllm/{other}:{ascendllm.__version__}"
        for other in IMAGES
        if other != name
    }
    alone = Settings.from_mapping(own)
    assert [alone.image_of(other) is None for other in IMAGES] == [n != name for n in IMAGES]


@pytest.mark.parametrize(
    ("prefix", "relation"),
    [
        ("/etc", "is /etc"),
        ("/etc/", "is /etc"),
        ("//etc", "is /etc"),
        ("/etc/./kubernetes", "lies under /etc"),
        ("/proc", "is /proc"),
        ("/sys/class", "lies under /sys"),
        ("/dev/shm", "lies under /dev"),
        ("/boot", "is /boot"),
        ("/root/models", "lies under /root"),
        ("/run/containerd", "lies under /run"),
        ("/var/run/secrets", "lies under /var/run"),
        ("/var/lib/kubelet/pods", "lies under /var/lib/kubelet"),
        ("/var/lib/docker", "is /var/lib/docker"),
        ("/var/lib/containerd", "is /var/lib/containerd"),
        ("/var/lib", "contains /var/lib/"),
        ("/var", "contains /var/"),
        ("/usr/local", "lies under /usr"),
        ("/bin", "is /bin"),
        ("/tmp", "is /tmp"),
    ],
)
def test_a_prefix_at_a_system_folder_is_taken_with_a_warning(prefix: str, relation: str) -> None:
    settings = Settings(host_path_prefixes=("/opt/models", prefix))
    (warning,) = settings.warnings()
    assert warning.startswith(f"hostPathPrefixes: {prefix} {relation}")
    assert "no tenant can write to" in warning


def test_folders_of_models_bring_no_warning() -> None:
    folders = ("/opt/atomgit", "/data", "/mnt/models", "/home/models", "/etcetera", "/srv")
    driver = ("/usr/local/Ascend/driver", "/var/lib/models")
    assert list(Settings(host_path_prefixes=folders + driver).warnings()) == []
