"""The two distributions: what their wheels hold, and how they work together."""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ascendllm

REPOSITORY = Path(__file__).resolve().parents[2]
OPERATOR = REPOSITORY / "operator"
SIMULATOR = REPOSITORY / "images" / "simulator"
HELP = "Serve as a stand-in for vLLM-Ascend"


class Wheel:
    """A wheel that hatchling built."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.files = {name: archive.read(name).decode() for name in archive.namelist()}

    @property
    def folders(self) -> set[str]:
        return {name.split("/")[0] for name in self.files}

    @property
    def metadata(self) -> Message:
        return Parser().parsestr(self._described("METADATA"))

    @property
    def entry_points(self) -> dict[str, dict[str, str]]:
        parser = configparser.ConfigParser()
        parser.read_string(self._described("entry_points.txt"))
        return {section: dict(parser[section]) for section in parser.sections()}

    def _described(self, name: str) -> str:
        [text] = [text for file, text in self.files.items() if file.endswith(f".dist-info/{name}")]
        return text


def build(project: Path, folder: Path) -> Wheel:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", str(folder)], cwd=project, check=True, timeout=60)
    [path] = folder.glob("*.whl")
    return Wheel(path)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return build(REPOSITORY, tmp_path_factory.mktemp("product"))


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return build(SIMULATOR, tmp_path_factory.mktemp("simulator"))


def sources(package: str) -> set[str]:
    """The files of a package in the checkout, as a wheel names them."""
    files = [path for path in (OPERATOR / package).rglob("*") if path.is_file()]
    return {
        path.relative_to(OPERATOR).as_posix() for path in files if "__pycache__" not in path.parts
    }


def run(program: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=60)


def test_the_product_holds_no_file_of_the_simulator(product: Wheel) -> None:
    version = ascendllm.__version__
    assert product.folders == {"ascendllm", f"ascendllm-{version}.dist-info"}
    assert {name for name in product.files if ".dist-info/" not in name} == sources("ascendllm")
    assert [name for name in product.files if "simulat" in name] == []
    assert set(product.entry_points) == {"console_scripts"}


def test_the_simulator_holds_its_package_and_its_entry_points(simulator: Wheel) -> None:
    description = f"ascendllm_simulator-{ascendllm.__version__}.dist-info"
    assert simulator.folders == {"ascendllm_simulator", description}
    packaged = {name for name in simulator.files if not name.startswith(description)}
    assert packaged == sources("ascendllm_simulator")
    assert simulator.entry_points == {
        "console_scripts": {"ascendllm-simulator": "ascendllm_simulator.__main__:main"},
        "ascendllm.commands": {"simulate": "ascendllm_simulator.cli:command"},
    }


def test_both_distributions_have_one_version(product: Wheel, simulator: Wheel) -> None:
    assert product.metadata["Version"] == simulator.metadata["Version"] == ascendllm.__version__
    needed = [Requirement(text) for text in simulator.metadata.get_all("Requires-Dist", [])]
    [pin] = [requirement for requirement in needed if requirement.name == "ascendllm"]
    assert str(pin.specifier) == f"=={ascendllm.__version__}"


def test_the_simulator_is_a_command_of_ascendllm_where_it_is_installed() -> None:
    listed = run([sys.executable, "-m", "ascendllm"], "--help")
    assert f"simulate  {HELP}" in listed.stdout
    shown = run([sys.executable, "-m", "ascendllm"], "simulate", "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("Usage: ascendllm simulate [MODEL]")


def test_the_simulator_has_a_command_of_its_own() -> None:
    shown = run([str(Path(sys.executable).with_name("ascendllm-simulator"))], "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("Usage: ascendllm-simulator [MODEL]")


@pytest.fixture
def without_simulator(tmp_path: Path) -> list[str]:
    """`ascendllm` where its own distribution is all there is of this repository."""
    (tmp_path / "ascendllm").symlink_to(OPERATOR / "ascendllm")
    program = f"""
import sys
from importlib import metadata

sys.path = [{str(tmp_path)!r}, *(path for path in sys.path if path != {str(OPERATOR)!r})]
found = metadata.entry_points
metadata.entry_points = lambda **chosen: [
    entry for entry in found(**chosen) if entry.dist.name != "ascendllm-simulator"
]
from ascendllm.__main__ import main

main()
"""
    return [sys.executable, "-c", program]


def test_without_the_simulator_the_command_names_the_remedy(without_simulator: list[str]) -> None:
    refused = run(without_simulator, "simulate", "model", "--port=0")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == (
        "Error: simulate: the simulator is not installed: install the distribution "
        "ascendllm-simulator, for example with `pip install ./images/simulator` in a checkout of "
        "the repository"
    )
    listed = run(without_simulator, "--help")
    assert listed.returncode == 0
    assert "render" in listed.stdout
    assert "simulate" not in listed.stdout


@pytest.mark.parametrize("command", ["status", "validate", "render"])
def test_a_built_in_command_searches_for_no_other(command: str) -> None:
    program = f"""
from importlib import metadata

found = metadata.entry_points


def watched(**chosen):
    assert chosen["group"] != "ascendllm.commands"  # pydantic searches for its own
    return found(**chosen)


metadata.entry_points = watched
from ascendllm.cli import cli

cli([{command!r}, "--help"])
"""
    shown = run([sys.executable, "-c", program])
    assert shown.returncode == 0, shown.stderr


def test_the_help_imports_no_command() -> None:
    program = """
import sys
from ascendllm.cli import cli

cli(["--help"], standalone_mode=False)
assert not {"aiohttp", "pydantic", "ascendllm_simulator"} & set(sys.modules)
"""
    shown = run([sys.executable, "-c", program])
    assert shown.returncode == 0, shown.stderr
