"""The operator's settings: a wrong one is named."""

from __future__ import annotations

import pytest

from ascendllm.exceptions import SettingsError
from ascendllm.settings import Settings


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
        }
    )
    assert settings.evals_image == "registry.test/evals:1"
    assert settings.host_path_prefixes == ("/a", "/b/c", "/d")
    assert settings.mmlu_data is not None
    assert settings.mmlu_data.custom is True


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hostPathPrefixes", "relative"),
        ("hostPathPrefixes", "/a/../b"),
        ("driverPaths", "usr/local/dcmi/"),
        ("driverPaths", "/usr/local/dcmi/, /"),
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
        ("/", "/anything", True),
    ],
)
def test_a_prefix_counts_by_whole_components(prefix: str, path: str, allowed: bool) -> None:
    assert Settings(host_path_prefixes=(prefix,)).allows_host_path(path) is allowed
