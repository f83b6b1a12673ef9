"""The init container that tells what the image holds: its script is run as the pod would run it."""

from __future__ import annotations

import copy
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from ascendllm.desired import names
from ascendllm.desired.facts import CONTAINER, facts_container
from unit.core.stage import Stage, spec_of


def told(tmp_path: Path, **environment: str) -> dict[str, str]:
    """What the script writes in a made-up image: this Python, and what is on its path."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    python = tmp_path / "bin" / "python3"
    if not python.exists():
        python.symlink_to(sys.executable)
    message = tmp_path / "termination-log"
    *command, place = facts_container("image", None)["command"]
    assert place == "/dev/termination-log"
    ended = subprocess.run(
        [*command, str(message)],
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    text = message.read_text()
    assert len(text.encode()) <= 1024
    found: dict[str, str] = json.loads(text)
    return found


def package(site: Path, name: str, version: str) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def vllm_ascend(site: Path, info: str | None) -> None:
    folder = site / "vllm_ascend"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('libascend_hal.so: cannot open')\n")
    if info is not None:
        (folder / "_build_info.py").write_text(info)


def cann(home: Path, file: str, text: str) -> dict[str, str]:
    (home / file).parent.mkdir(parents=True)
    (home / file).write_text(text)
    return {"ASCEND_HOME_PATH": str(home)}


def test_the_versions_of_seed_000(tmp_path: Path) -> None:
    site = tmp_path / "site"
    versions = {
        "vllm": "0.18.0+empty",
        "vllm-ascend": "0.18.0rc1",
        "torch-npu": "2.9.0.post1+gitee7ba04",
        "transformers": "4.57.6",
    }
    for name, version in versions.items():
        package(site, name, version)
    vllm_ascend(site, "# Auto-generated file\n__soc_version__ = 'ascend910_9391'\n")
    home = cann(
        tmp_path / "cann-8.5.1",
        "aarch64-linux/ascend_toolkit_install.info",
        "package_name=Ascend-cann-toolkit\nversion=8.5.1\ninnerversion=V100R001C25\n",
    )
    assert told(tmp_path, PYTHONPATH=str(site), **home) == {
        "vllm": "0.18.0+empty",
        "vllmAscend": "0.18.0rc1",
        "torchNpu": "2.9.0.post1+gitee7ba04",
        "transformers": "4.57.6",
        "cann": "8.5.1",
        "soc": "ascend910_9391",
        "arch": platform.machine(),
    }


@pytest.mark.parametrize(
    ("info", "environment", "soc"),
    [
        ("__device_type__ = 'A3'\n", {}, "a3"),
        ("__device_type__ = AscendDeviceType.A3\n", {}, "ascenddevicetype.a3"),
        ("__device_type__ = 'A3'\n", {"SOC_VERSION": "Ascend910_9391"}, "ascend910_9391"),
        (None, {"SOC_VERSION": "ascend910b1"}, "ascend910b1"),
        ("nothing\n", {}, None),
    ],
)
def test_the_chip_that_it_was_built_for(
    tmp_path: Path, info: str | None, environment: dict[str, str], soc: str | None
) -> None:
    vllm_ascend(tmp_path / "site", info)
    assert told(tmp_path, PYTHONPATH=str(tmp_path / "site"), **environment).get("soc") == soc


def test_an_older_cann(tmp_path: Path) -> None:
    text = "# version: 1.0\nruntime_running_version=[7.8.0.3.220:8.3.RC2]\n"
    home = cann(
        tmp_path / "latest",
        "version.cfg",
        text + "toolkit_running_version=[7.8.0.3.220:8.3.RC2]\n",
    )
    assert told(tmp_path, **home)["cann"] == "8.3.RC2"


def test_an_image_with_none_of_it(tmp_path: Path) -> None:
    # The Python of the tests has packages of its own; none of these.
    assert told(tmp_path) == {"arch": platform.machine()}


def test_hostile_contents_are_cut(tmp_path: Path) -> None:
    site = tmp_path / "site"
    package(site, "vllm", "1." + "9" * 100)
    vllm_ascend(site, f"__soc_version__ = '{'a' * 100_000}'\n")
    home = cann(
        tmp_path / "cann",
        "x86_64-linux/ascend_toolkit_install.info",
        'version=8"é\x07' + "1" * 100 + "\n",
    )
    found = told(tmp_path, PYTHONPATH=str(site), **home)
    assert max(len(value) for value in found.values()) == 64
    assert found["cann"].startswith('8"11')


def test_an_image_without_python_starts_all_the_same(tmp_path: Path) -> None:
    command = facts_container("image", None)["command"]
    shell = "/bin/sh"
    ended = subprocess.run(
        [shell, *command[1:-1], str(tmp_path / "log")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0
    assert not (tmp_path / "log").exists()


def test_nowhere_to_write_does_not_keep_the_pod(tmp_path: Path) -> None:
    command = facts_container("image", None)["command"]
    ended = subprocess.run(
        [*command[:-1], str(tmp_path / "no" / "folder")],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0


def test_it_takes_no_npu_and_is_pulled_like_the_server() -> None:
    container = facts_container("image", "Never")
    assert container["image"] == "image"
    assert container["imagePullPolicy"] == "Never"
    assert "resources" not in container
    assert not any("$(" in word for word in container["command"]), "Kubernetes would replace it"


def test_a_revision_of_an_operator_that_had_no_such_container_is_left_as_it_is() -> None:
    spec = spec_of(validation={"smoke": {}})
    new = Stage(spec)
    new.settle()
    (record,) = new.of("ControllerRevision")
    assert record["data"]["template"]["spec"]["initContainers"][0]["name"] == CONTAINER

    old = copy.deepcopy(record)
    del old["data"]["template"]["spec"]["initContainers"]
    revision = names.digest(old["data"]["template"])
    old["metadata"]["name"] = names.child("llama", revision)
    old["metadata"]["labels"][names.REVISION] = revision
    stage = Stage(spec)
    stage.objects["ControllerRevision", old["metadata"]["name"]] = old
    stage.load()
    assert [item["metadata"]["name"] for item in stage.of("ControllerRevision")] == [
        f"llama-{revision}"
    ]
    (workload,) = stage.of("Deployment")
    assert "initContainers" not in workload["spec"]["template"]["spec"]
