from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cluster import images
from cluster.errors import ClusterError
from cluster.imaging.catalogue import Image, catalogue, content_key
from cluster.imaging.host import keep_newest
from cluster.imaging.wheels import platform_tags

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGE = Image("validator", "localhost/ascendllm/validator:1")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("LICENSE", "pyproject.toml", "images/build-requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shutil.copytree(REPOSITORY / "images/validator", tmp_path / "images/validator")
    package = tmp_path / "operator/ascendllm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "4.5.6"\n')
    (tmp_path / "README.md").write_text("# AscendLLM\n")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "images/validator/Dockerfile",
        "images/validator/requirements.txt",
        "images/build-requirements.txt",
        "operator/ascendllm/__init__.py",
        "pyproject.toml",
    ],
)
def test_an_image_is_built_again_when_what_goes_into_it_changes(checkout: Path, name: str) -> None:
    before = content_key(IMAGE, "base", checkout)
    with (checkout / name).open("a") as file:
        file.write("#\n")
    assert content_key(IMAGE, "base", checkout) != before


def test_an_image_is_built_again_for_a_new_file_or_a_new_mode(checkout: Path) -> None:
    before = content_key(IMAGE, "base", checkout)
    script = checkout / "images/validator/script"
    script.write_text("")
    plain = content_key(IMAGE, "base", checkout)
    script.chmod(0o755)
    assert len({before, plain, content_key(IMAGE, "base", checkout)}) == 3


def test_only_the_simulators_image_is_built_again_for_the_simulator(checkout: Path) -> None:
    package = checkout / "operator/ascendllm_simulator"
    package.mkdir()
    before = {image.folder: content_key(image, "base", checkout) for image in catalogue(checkout)}
    (package / "__init__.py").write_text("")
    after = {image.folder: content_key(image, "base", checkout) for image in catalogue(checkout)}
    assert [name for name in after if after[name] != before[name]] == ["simulator"]


def test_a_large_image_is_not_built_again_for_our_own_code(checkout: Path) -> None:
    large = Image("validator", "localhost/ascendllm/large:1", large=True)
    before = content_key(large, "base", checkout)
    for name, other in (("operator/ascendllm/__init__.py", False), ("images/validator/x", True)):
        (checkout / name).write_text("#\n")
        assert (content_key(large, "base", checkout) != before) is other


def test_a_large_image_is_built_only_when_it_is_named(tmp_path: Path) -> None:
    known = [
        images.Archive(Image("small", "a"), tmp_path / "a.tar"),
        images.Archive(Image("big", "b", large=True), tmp_path / "b.tar"),
    ]
    assert [archive.image.folder for archive in images.chosen(known, [])] == ["small"]
    assert [archive.image.folder for archive in images.chosen(known, ["big"])] == ["big"]


def test_an_image_is_built_again_on_another_base(checkout: Path) -> None:
    assert content_key(IMAGE, "one", checkout) != content_key(IMAGE, "two", checkout)


def test_an_image_is_kept_when_nothing_in_it_changes(checkout: Path) -> None:
    before = content_key(IMAGE, "base", checkout)
    cached = checkout / "operator/ascendllm/__pycache__"
    cached.mkdir()
    (cached / "x.pyc").write_bytes(b"x")
    (checkout / "README.md").write_text("# other words\n")
    (checkout / "images/operator").mkdir()
    (checkout / "images/operator/Dockerfile").write_text("FROM scratch\n")
    assert content_key(IMAGE, "base", checkout) == before


def test_the_images_bear_the_package_version(checkout: Path) -> None:
    references = [image.reference for image in catalogue(checkout)]
    assert references == [
        "localhost/ascendllm/operator:4.5.6",
        "localhost/ascendllm/validator:4.5.6",
        "localhost/ascendllm/evals:4.5.6",
        "localhost/ascendllm/downloader:4.5.6",
        "localhost/ascendllm/vllm-ascend:v0.18.0rc1-a3",
        "localhost/ascendllm/vllm-cpu:v0.18.0",
    ]


def test_a_package_without_a_version_is_refused(checkout: Path) -> None:
    (checkout / "operator/ascendllm/__init__.py").write_text("")
    with pytest.raises(ClusterError, match="no line __version__"):
        catalogue(checkout)


def test_an_unknown_image_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert images.main(["build", "vllm"]) == 1
    assert (
        "no image vllm; there are operator, validator, evals, downloader, simulator, vllm-cpu"
        in capsys.readouterr().err
    )


def test_the_wheels_are_those_that_the_c_library_can_run() -> None:
    tags = platform_tags("2.19", "x86_64")
    assert tags == [
        "manylinux_2_19_x86_64",
        "manylinux_2_18_x86_64",
        "manylinux_2_17_x86_64",
        "manylinux2014_x86_64",
    ]


def test_what_was_not_used_for_longest_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "ascendllm/images"
    cache.mkdir(parents=True)
    for name in ("a-1", "a-2", "a-3", "b-1"):
        (cache / name).mkdir()
    keep_newest("a-*", 2, cache / "a-3")
    keep_newest("a-*", 2, cache / "a-1")
    assert sorted(entry.name for entry in cache.iterdir()) == ["a-1", "a-3", "b-1"]
