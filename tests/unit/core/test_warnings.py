"""`status.warnings`: what has no effect, in bounded texts."""

from __future__ import annotations

from ascendllm.report.overview import detail
from unit.core.stage import Stage, node, spec_of


def test_a_dead_setting_is_told_and_stops_nothing() -> None:
    stage = Stage(spec_of(runtime={"version": "v0.18.0rc1", "env": {"VLLM_USE_ASCEND": "1"}}))
    stage.load()
    (warning,) = stage.status["warnings"]
    assert "VLLM_USE_ASCEND" in warning
    assert stage.of("Deployment")
    resource = {"metadata": {"name": "llama"}, "status": stage.status}
    assert f"warning: {warning}" in detail(resource)
    assert not stage.step(), "the same warning is no change"


def test_a_secret_in_the_resource_is_told_before_all_else() -> None:
    dead = {f"VLLM_ASCEND_UNREAD_{number:02}": "1" for number in range(40)}
    stage = Stage(spec_of(runtime={"env": {**dead, "VLLM_API_KEY": "tell-nobody"}}))
    stage.step()
    first = stage.status["warnings"][0]
    assert "VLLM_API_KEY" in first
    assert "spec.service.apiKeySecret" in first
    assert "tell-nobody" not in str(stage.status)


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


def test_what_the_models_numbers_and_name_tell() -> None:
    item = node("n", "910B3")
    item["metadata"]["labels"]["mind-cluster/npu-chip-memory"] = "64G"
    spec = spec_of(
        model={"source": {"hostPath": "/opt/atomgit/llama-3-70b"}},
        npu={"count": 4},
        engine={"maxModelLen": 65_536},
    )
    stage = Stage(spec, nodes=(item,))
    stage.step()
    (ceiling,) = stage.status["warnings"]
    assert "65536 is above the 32768 tokens" in ceiling
    stage.move_pods(facts={"model": {"num_hidden_layers": 80}})  # type: ignore[dict-item]
    stage.step()
    graphs, again = stage.status["warnings"]
    assert "7 of 35 batch sizes, since 80 layers" in graphs
    assert again == ceiling


def test_any_source_has_a_name() -> None:
    sources = [
        {"hostPath": "/opt/atomgit"},
        {"pvc": {"claimName": "a"}},
        {"pvc": {"claimName": "a", "path": "x/y/"}},
    ]
    for source in sources:
        item = node("n", "910B3")
        item["metadata"]["labels"]["mind-cluster/npu-chip-memory"] = "64G"
        stage = Stage(spec_of(model={"source": source}), nodes=(item,))
        stage.step()
        assert "warnings" not in stage.status
