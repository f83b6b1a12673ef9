"""`status.warnings`: what has no effect, in bounded texts."""

from __future__ import annotations

from ascendllm.report.overview import detail
from unit.core.stage import Stage, spec_of


def test_a_dead_setting_is_told_and_stops_nothing() -> None:
    stage = Stage(spec_of(runtime={"version": "v0.18.0rc1", "env": {"VLLM_USE_ASCEND": "1"}}))
    stage.load()
    (warning,) = stage.status["warnings"]
    assert "VLLM_USE_ASCEND" in warning
    assert stage.of("Deployment")
    resource = {"metadata": {"name": "llama"}, "status": stage.status}
    assert f"warning: {warning}" in detail(resource)
    assert not stage.step(), "the same warning is no change"


def test_without_remarks_there_are_no_warnings() -> None:
    stage = Stage()
    stage.step()
    assert "warnings" not in stage.status


def test_a_refused_spec_tells_its_warnings_too() -> None:
    env = {"VLLM_USE_ASCEND": "1", "VLLM_ASCEND_ENABLE_NZ": "true"}
    stage = Stage(spec_of(runtime={"env": env}))
    stage.step()
    assert stage.status["conditions"][0]["reason"] == "InvalidEngine"
    assert len(stage.status["warnings"]) == 1


def test_too_many_are_counted() -> None:
    env = {f"VLLM_ASCEND_UNREAD_{number:02}": "1" for number in range(40)}
    stage = Stage(spec_of(runtime={"env": env}))
    stage.step()
    assert len(stage.status["warnings"]) == 16
    assert stage.status["warnings"][-1] == "and 25 more"


def test_a_long_one_is_cut() -> None:
    config = {"x" * 4000: 1}
    stage = Stage(spec_of(engine={"additionalConfig": config}))
    stage.step()
    (warning,) = stage.status["warnings"]
    assert len(warning.encode()) <= 400


def test_the_generation_that_the_nodes_told_counts() -> None:
    stage = Stage(spec_of(npu={"generation": "310P", "resource": "huawei.com/Ascend310P"}))
    stage.step()
    assert "maxModelLen is unset" in stage.status["warnings"][0]
