"""Every object that a resource becomes is one that the API server takes as it is."""

from __future__ import annotations

import pytest
import yaml

from integration.admin import Admin
from unit.core.test_golden import CASES, GOLDEN


@pytest.mark.parametrize("case", CASES)
async def test_the_api_server_takes_the_golden_objects(admin: Admin, case: str) -> None:
    for item in yaml.safe_load_all((GOLDEN / case / "objects.yaml").read_text()):
        taken = await admin.post(item, dry_run=True)
        assert taken["kind"] == item["kind"]
        if item["kind"] == "Job":
            args = taken["spec"]["template"]["spec"]["containers"][0]["args"]
            assert args[0] in ("validate", "download")
