"""Where the serving pods run, and what they ask for beside NPUs."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.desired.placement import placement_part
from ascendllm.desired.template import pod_template
from unit.core import placement_rules
from unit.core.stage import Stage, spec_of


def template(**fields: Any) -> dict[str, Any]:
    return pod_template(Stage().owner, spec_of(**fields), {"image": "a:1"})


@pytest.mark.parametrize(("path", "value", "told"), placement_rules.SPANNING)
def test_the_models_refuse_what_the_rules_do(path: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match="placement") as refused:
        spec_of(placement={path: value})
    assert told in str(refused.value)


@pytest.mark.parametrize(("path", "value"), placement_rules.ACCEPTED)
def test_the_models_take_what_the_rules_do(path: str, value: Any) -> None:
    spec_of(placement={path: value})


def test_nothing_asked_for_adds_nothing() -> None:
    assert placement_part(spec_of().placement) == placement_part(spec_of(placement={}).placement)
    assert set(template()["spec"]) == set(template(placement={"tolerations": []})["spec"])


def test_what_is_countable_is_limited_and_requested_alike() -> None:
    for where in ("limits", "requests"):
        (container,) = template(placement={"resources": {where: {"rdma/hca": "1", "cpu": "4"}}})[
            "spec"
        ]["containers"]
        resources = container["resources"]
        assert resources["limits"]["rdma/hca"] == resources["requests"]["rdma/hca"] == "1"
        assert resources[where]["cpu"] == "4"
        (other,) = {"limits", "requests"} - {where}
        assert "cpu" not in resources[other], "Kubernetes' own default"
        assert resources["limits"]["huawei.com/Ascend910"] == "1"
