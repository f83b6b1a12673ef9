"""One real server for all tests of this folder: it takes 25 s to start and 3 GB."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vllm.engine import Engine, make_model, serving
from vllm.environment import install

_GIVEN = "ASCENDLLM_TEST_ENGINE"


@pytest.fixture(scope="session")
def vllm_environment() -> Path:
    """The folder of vLLM's Python environment; `make vllm` beforehand shows how far it is."""
    return install()


@pytest.fixture(scope="session")
def engine(vllm_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The real server.

    With ASCENDLLM_TEST_ENGINE=URL=FOLDER it is one that `python tests/vllm serve FOLDER` started:
    the tests are then there at once, for working on them.
    """
    folder = tmp_path_factory.mktemp("engine")
    if given := os.environ.get(_GIVEN):
        url, _, model = given.partition("=")
        yield Engine(url, Path(model), "tiny", vllm_environment, folder / "log")
        return
    with serving(vllm_environment, make_model(folder / "tiny"), folder / "log") as running:
        yield running
