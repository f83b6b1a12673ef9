"""The generated pages are what the models and the commands say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from documents.site import REFERENCES, external_resources


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make reference` writes them, in a process of its own: click keeps what commands
    that were called here before have printed."""
    folder = tmp_path_factory.mktemp("reference")
    program = Path(__file__).resolve().parents[2] / "documents"
    subprocess.run([sys.executable, str(program), "reference", f"--to={folder}"], check=True)
    return folder


@pytest.mark.parametrize("file", REFERENCES, ids=lambda file: file.name)
def test_a_generated_page_is_up_to_date(file: Path, generated: Path) -> None:
    page = (generated / file.name).read_text("utf-8")
    assert file.read_text("utf-8") == page, "run `make reference`"


def test_what_a_page_fetches_from_other_hosts_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="https://example.com">a link</a><link rel="stylesheet" href="site.css">'
        '<script src="https://cdn.example.com/a.js"></script>',
        encoding="utf-8",
    )
    (tmp_path / "site.css").write_text(
        "@import url('//fonts.example.com/a.css'); a { background: url(data:,) }", encoding="utf-8"
    )
    assert list(external_resources(tmp_path)) == [
        "index.html: https://cdn.example.com/a.js",
        "site.css: //fonts.example.com/a.css",
    ]
