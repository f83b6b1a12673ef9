"""What must hold of the core for any input."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ascendllm.api.scalars import parse_duration, parse_quantity
from ascendllm.checks.result import read_result
from ascendllm.decide.demand import Demand, next_slot, schedule_notes, standing_demand
from ascendllm.decide.resolving import resolve
from ascendllm.desired import names
from ascendllm.engine.chips import generation_of
from ascendllm.exceptions import CheckError, SpecError
from ascendllm.kube.client import _yaml
from ascendllm.kube.compare import differs, leftover
from ascendllm.state.observed import REVALIDATE
from ascendllm.state.pods import Pod, stage
from ascendllm.state.provenance import device_names, read_facts
from ascendllm.state.runs import Run
from ascendllm.status.text import shortened
from unit.core.stage import SETTINGS, Stage, spec_of

TEXT = st.text(max_size=40)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(exclude_categories=()), max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=5)


def turned(value: Any) -> Any:
    """The same value with the keys of every mapping in the other order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_a_digest_knows_no_order_of_keys(value: Any) -> None:
    assert names.digest(turned(value)) == names.digest(value)
    assert names.digest(json.loads(json.dumps(value))) == names.digest(value)
    assert len(names.digest(value)) == 10


@given(st.integers(0, 99999), st.integers(0, 99999), st.integers(0, 999999))
def test_a_duration_is_its_parts(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    wanted = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert parse_duration(text) == wanted
    assert parse_duration(f"{minutes}m") == timedelta(minutes=minutes)


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    for parse in (parse_duration, parse_quantity):
        try:
            parse(text)
        except ValueError as error:
            assert repr(text) in str(error)  # noqa: PT017 - it need not raise


@given(st.decimals(0, 10**14, places=3), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_a_quantity_is_its_number_times_its_unit(number: Decimal, unit: str) -> None:
    assert parse_quantity(f"{number}{unit}") == number * parse_quantity(f"1{unit}")


@given(OBJECTS)
def test_what_is_there_as_desired_is_not_applied(desired: dict[str, Any]) -> None:
    there = json.loads(json.dumps(desired)) | {"metadata": {}}
    assert not differs({k: v for k, v in desired.items() if k != "metadata"}, there)
    assert leftover(desired, desired) == {}


@given(OBJECTS, OBJECTS)
def test_comparing_never_raises(desired: dict[str, Any], live: dict[str, Any]) -> None:
    differs(desired, {**live, "metadata": {}})
    leftover(desired, live)


@given(OBJECTS)
def test_what_is_applied_is_json_in_characters_of_yaml(value: dict[str, Any]) -> None:
    if any(item in json.dumps(value) for item in ("Infinity", "NaN")):
        return
    text = _yaml(value).decode()
    assert json.loads(text) == json.loads(_without_halves(json.dumps(value)))
    for character in text:
        code = ord(character)
        assert character in "\t\n\r" or 0x20 <= code < 0x7F or code >= 0xA0
        assert not 0xD800 <= code <= 0xDFFF


def _without_halves(text: str) -> str:
    """Halves of surrogate pairs replaced, as Go's JSON decoder does it."""
    value = json.loads(text)

    def walk(item: Any) -> Any:
        if isinstance(item, str):
            return "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in item)
        if isinstance(item, dict):
            return {walk(key): walk(child) for key, child in item.items()}
        return [walk(child) for child in item] if isinstance(item, list) else item

    return json.dumps(walk(value))


@given(st.text(alphabet=st.characters(exclude_categories=())), st.integers(8, 200))
def test_a_shortened_text_fits(text: str, size: int) -> None:
    short = shortened(text, size)
    assert len(short.encode()) <= size
    if len(text.encode(errors="replace")) <= size and text.isascii():
        assert short == text


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_a_result_or_a_check_error(text: str) -> None:
    try:
        read_result(text)
    except CheckError as error:
        assert error.reason == "ResultUnreadable"  # noqa: PT017 - it need not raise


HOSTILE_TEXT = (
    st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=200)
    | JSON.map(json.dumps)
    | st.just('{"done": 1, "total": 2, "etaSeconds": 1e309, "ratePerSecond": 1e309}')
    | st.just('{"done": true, "total": 1e30, "etaSeconds": -1}')
)


@given(
    st.dictionaries(
        st.sampled_from(["run.json", "progress.json", "result.json", "sealed.json", "x"]),
        HOSTILE_TEXT,
    ),
    st.booleans(),
)
def test_any_data_of_a_config_map_is_read_or_left(data: dict[str, str], sealed: bool) -> None:
    Run.read({"metadata": {"name": "a"}, "data": data, "immutable": sealed})


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["progress.json", "result.json", "checkpoint", "sealed.json"]),
        HOSTILE_TEXT,
    ),
    st.booleans(),
)
def test_whatever_a_job_writes_the_operator_goes_on(data: dict[str, str], ended: bool) -> None:
    stage_ = Stage(spec_of(validation={"smoke": {}, "retries": 0}))
    stage_.load()
    (job,) = stage_.of("Job")
    stage_.objects["ConfigMap", job["metadata"]["name"]]["data"] |= data
    if ended:
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    stage_.settle()
    text = json.dumps(stage_.status, allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) < 17 * 1024
    assert stage_.served == "none"


PEERS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.fixed_dictionaries(
            {},
            optional={
                "validation": st.fixed_dictionaries(
                    {},
                    optional={
                        "bench": st.fixed_dictionaries(
                            {"result": st.sampled_from(["Passed", "Failed", "Running"])},
                            optional={"outputThroughput": st.floats(0, 1e6), "duration": JSON},
                        )
                    },
                )
            },
        )
    },
)

FIGURE = JSON | st.just(float("inf")) | st.integers(-(2**80), 2**80)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "completed",
                "failed",
                "duration",
                "meanTtftMs",
                "concurrency",
                "checks",
                "vllm",
                "sweep",
                "longContext",
                "comparison",
                "requestGoodput",
                "datasetHash",
            ]
        ),
        FIGURE,
    ),
    st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=3000),
    PEERS,
)
def test_a_passed_check_with_any_figures_can_be_written(
    figures: dict[str, Any], message: str, peer: dict[str, Any]
) -> None:
    regression = {"regression": {}, "compareTo": {"name": "other"}}
    stage_ = Stage(spec_of(validation={"bench": regression, "retries": 0}))
    stage_.peers["other"] = peer
    stage_.load()
    stage_.finish("bench", message=message, **figures)
    stage_.pass_time(seconds=1)
    stage_.annotate(message)
    stage_.settle()
    if stage_.running() is not None:
        stage_.finish("bench", message=message, **figures)
    shown = stage_.status["validation"]["bench"]
    json.dumps(stage_.status, allow_nan=False)
    for key in ("completed", "failed", "concurrency"):
        assert type(shown.get(key, 0)) in (int, float)
        assert abs(shown.get(key, 0)) <= 2**53


STATES = st.fixed_dictionaries(
    {},
    optional={
        "waiting": st.fixed_dictionaries({}, optional={"reason": TEXT, "message": TEXT}),
        "running": st.fixed_dictionaries({}, optional={"startedAt": TEXT}),
        "terminated": st.fixed_dictionaries(
            {}, optional={"exitCode": st.integers(0, 255), "reason": TEXT, "message": st.text()}
        ),
    },
)
FACTS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["facts", "x"])},
        optional={
            "state": st.fixed_dictionaries(
                {},
                optional={
                    "terminated": st.fixed_dictionaries(
                        {},
                        optional={
                            "message": HOSTILE_TEXT
                            | st.dictionaries(st.sampled_from(["vllm", "soc", "cann"]), JSON).map(
                                json.dumps
                            )
                        },
                    )
                },
            )
        },
    ),
    max_size=3,
)
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]) | TEXT,
        "reason": TEXT,
        "message": st.text(),
        "conditions": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["Ready", "PodScheduled"]) | TEXT},
                optional={
                    "status": st.sampled_from(["True", "False", "Unknown"]),
                    "lastTransitionTime": TEXT | st.just("9999-12-31T23:59:59Z"),
                    "message": st.text(),
                },
            ),
            max_size=3,
        ),
        "containerStatuses": st.lists(
            st.fixed_dictionaries(
                {"name": st.just("vllm") | TEXT},
                optional={
                    "state": STATES,
                    "lastState": STATES,
                    "imageID": TEXT,
                    "restartCount": st.integers(0, 2**31 - 1),
                },
            ),
            max_size=2,
        ),
    },
)


@given(st.dictionaries(st.sampled_from(["initContainerStatuses", "x"]), FACTS), st.data())
def test_any_provenance_is_read_in_bounded_size(
    status: dict[str, Any], data: st.DataObject
) -> None:
    keys = st.sampled_from(
        [
            "huawei.com/AscendReal",
            "huawei.com/kltDev",
            "huawei.com/Ascend910B",
            "ascend.kubectl.kubernetes.io/ascend-910-configuration",
            "hami.io/Ascend910B-devices-allocated",
        ]
    )
    annotations = data.draw(st.dictionaries(keys, HOSTILE_TEXT))
    facts, devices = read_facts(status), device_names(annotations)
    text = json.dumps([facts, devices], ensure_ascii=False)
    assert len(text.encode()) <= 64 * 64 * 4 + 64 * 8
    assert all(item and item.isprintable() for item in (*facts.values(), *devices))


@given(STATUSES)
def test_any_status_of_a_pod_is_read(status: dict[str, Any]) -> None:
    pod = Pod.read({"metadata": {"name": "a", "labels": {names.REVISION: "r"}}, "status": status})
    if not pod.ready:
        assert stage([pod], 1).reason
        assert len(stage([pod], 1).message) <= 700


@settings(max_examples=40, deadline=None)
@given(STATUSES)
def test_any_status_of_a_pod_can_be_told(status: dict[str, Any]) -> None:
    stage_ = Stage(spec_of(validation={"smoke": {}}))
    stage_.settle()
    stage_.move_pods()
    for pod in stage_.of("Pod"):
        pod["status"] = status
    stage_.settle()
    for condition in stage_.status["conditions"]:
        assert condition["reason"], "the API server refuses an empty one"


@given(st.dictionaries(TEXT, TEXT), st.text())
def test_any_label_of_a_node_is_read(labels: dict[str, str], chip: str) -> None:
    labels["node.kubernetes.io/npu.chip.name"] = chip
    generation_of(labels)
    node = {"metadata": {"name": "n", "labels": labels}}
    node["status"] = {"capacity": {"huawei.com/Ascend910": "8"}}  # type: ignore[assignment]
    try:
        resolve(spec_of(npu={}), SETTINGS, [node])
    except SpecError as problem:
        assert problem.reason == "AmbiguousGeneration"  # noqa: PT017 - it need not raise


RESOURCES = st.sampled_from(
    [
        "huawei.com/Ascend910",
        "huawei.com/Ascend310P",
        "huawei.com/Ascend910B3",
        "huawei.com/Ascend910C",
        "huawei.com/ascend-1980",
        "huawei.com/npu",
        "example.test/npu",
    ]
) | st.from_regex(
    r"huawei\.com/Ascend(910|310P)-[0-9]{1,3}c(\.[0-9]cpu)?(\.[0-9]+g)?", fullmatch=True
)
QUANTITIES = st.from_regex(r"[0-9]{1,15}(\.[0-9]{1,3})?(m|k|Mi|Gi|Pi)?", fullmatch=True)


@settings(max_examples=200, deadline=None)
@given(
    resource=RESOURCES,
    count=st.integers(1, 64),
    generation=st.sampled_from(["auto", "A2", "A3", "310P"]),
    memory=st.none() | QUANTITIES,
    core=st.none() | QUANTITIES,
    scheduler=st.sampled_from([None, "volcano", "other"]),
    labels=st.dictionaries(st.sampled_from(["accelerator-type", "servertype"]), TEXT),
    chip=st.sampled_from(["910B3", "Ascend910", "310P3", "910A", ""]),
)
def test_any_world_is_served_or_refused(
    resource: str,
    count: int,
    generation: str,
    memory: str | None,
    core: str | None,
    scheduler: str | None,
    labels: dict[str, str],
    chip: str,
) -> None:
    asked = {f"{resource}-memory": memory, f"{resource}-core": core}
    limits = {name: value for name, value in asked.items() if value is not None}
    spec = spec_of(
        npu={"resource": resource, "count": count, "generation": generation},
        placement={"resources": {"limits": limits}, "schedulerName": scheduler},
        runtime=None,
    )
    node = {
        "metadata": {"name": "n", "labels": labels | {"node.kubernetes.io/npu.chip.name": chip}},
        "status": {"capacity": {resource: "64"}},
    }
    stage = Stage(spec, nodes=(node,))
    problem = stage.decision()[1].problem
    if problem is not None:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", problem.reason)
        assert "spec" in problem.message
        return
    stage.settle()
    (deployment,) = stage.of("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    assert resources["limits"] == resources["requests"] == {resource: str(count), **limits}
    named = [item for item in pod["containers"][0].get("env", []) if "VISIBLE" in item["name"]]
    assert all("value" not in item for item in named), "only Volcano's annotation is legal"
    assert not named or scheduler == "volcano"


ENGINES = st.fixed_dictionaries(
    {},
    optional={
        "maxModelLen": st.integers(1000, 16_777_216),
        "memoryUtilization": st.floats(0, 1, exclude_min=True),
        "seed": st.integers(0, 2**32 - 1),
        "trustRemoteCode": st.booleans(),
        "enforceEager": st.booleans(),
        "additionalConfig": st.dictionaries(
            TEXT, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT, max_size=3
        ),
    },
)


@settings(max_examples=40, deadline=None)
@given(ENGINES, st.integers(0, 5), st.booleans(), st.booleans())
def test_a_second_pass_writes_nothing(
    engine: dict[str, Any], replicas: int, gate: bool, suspend: bool
) -> None:
    spec = spec_of(engine=engine, replicas=replicas, rollout={"gate": gate}, suspend=suspend)
    stage_ = Stage(spec)
    stage_.settle()
    before = copy.deepcopy((stage_.objects, stage_.status))
    stage_.pass_time(minutes=3)
    assert not stage_.step()
    assert (stage_.objects, stage_.status) == before
    stage_.load()
    after = copy.deepcopy(stage_.objects)
    stage_.pass_time(minutes=3)
    assert not stage_.step()
    assert stage_.objects == after


MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
SCHEDULES = st.one_of(
    st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 23)),
    st.builds("*/{} * * * *".format, st.integers(1, 59)),
    st.builds("0 0 {} {} *".format, st.integers(1, 28), st.integers(1, 12)),
    st.builds("30 4 * * {}".format, st.sampled_from(["mon", "7", "1-5"])),
    st.just("0 0 29 2 *"),
)


@given(SCHEDULES, MOMENTS, st.integers(0, 400 * 86400))
def test_a_slot_lies_between_its_schedules_beginning_and_now(
    schedule: str, began: datetime, seconds: int
) -> None:
    now = began + timedelta(seconds=seconds)
    notes = schedule_notes(schedule, None, began)
    resource = {"metadata": {"name": "llama"}}
    slot = standing_demand(resource, notes, now).slot
    following = next_slot(schedule, now)
    assert following is not None
    assert following > now.replace(microsecond=0)
    if slot:
        moment = datetime.fromisoformat(slot)
        assert began.replace(microsecond=0) < moment <= now
        assert next_slot(schedule, moment - timedelta(seconds=1)) == moment
    else:
        first = next_slot(schedule, began.replace(microsecond=0))
        assert first is not None
        assert first > now
    kept = {"metadata": {"annotations": notes}}
    assert schedule_notes(schedule, kept, now) == notes, "noted once"


@given(st.text() | st.none(), st.dictionaries(st.sampled_from(["ascendllm.io/schedule"]), TEXT))
def test_any_annotation_is_a_demand_of_bounded_size(
    value: str | None, notes: dict[str, str]
) -> None:
    annotations = {} if value is None else {REVALIDATE: value}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    notes["ascendllm.io/schedule-since"] = "2020-01-01T00:00:00Z"
    demand = standing_demand({"metadata": {"annotations": annotations}}, notes, now)
    assert len(demand.value.encode()) <= 253
    assert bool(demand.value) == bool(value)
    json.dumps([demand.value, demand.slot])
    assert Demand().is_met_by(RUN)
    assert demand.is_met_by(replace(RUN, record={**RUN.record, "revalidate": demand.value})) == (
        not demand.slot
    )


RUN = Run("a", {"startedAt": "2000-01-01T00:00:00Z"}, None, None, None, None)

STEPS = st.lists(
    st.sampled_from(
        ["value", "same", "none", "hour", "day", "image", "pass", "fail", "error", "skip", "wipe"]
    ),
    max_size=14,
)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.sampled_from([None, "0 3 * * *", "*/30 * * * *"]), st.integers(0, 2))
def test_whatever_happens_it_comes_to_rest_and_says_one_thing(
    steps: list[str], schedule: str | None, retries: int
) -> None:
    checks = {"smoke": {}, "bench": {"regression": {}}, "retries": retries}
    if schedule is not None:
        checks["schedule"] = schedule
    stage_ = Stage(spec_of(validation=checks))
    stage_.prove("smoke", "bench")
    served = stage_.served
    results = {"pass": "Passed", "fail": "Failed", "error": "Error", "skip": "Skipped"}
    for number, step in enumerate(steps):
        if step == "value":
            stage_.annotate(f"v{number}")
        elif step == "none":
            stage_.annotate(None)
        elif step == "hour":
            stage_.pass_time(hours=1)
        elif step == "day":
            stage_.pass_time(days=1)
        elif step == "image":
            stage_.move_pods(image_id=f"sha256:{number:064}")
        elif step == "wipe":
            stage_.status = {}
        elif step in results and (check := stage_.running()) is not None:
            stage_.finish(check, result=results[step])
        stage_.pass_time(seconds=1)
        stage_.settle()
        assert stage_.served == served, "traffic stays where it is proven"
        conditions = {c["type"]: c for c in stage_.status["conditions"]}
        assert ("Stalled" in conditions) + ("Reconciling" in conditions) <= 1
        if conditions["Ready"]["status"] == "True":
            assert "Stalled" not in conditions
            assert conditions["Available"]["status"] == "True"
        assert ("Stalled" in conditions) == (conditions["Ready"]["status"] == "False")
        handled = stage_.status.get("lastHandledRevalidate")
        value = stage_.annotations.get(REVALIDATE)
        if value is not None and stage_.running() is None and handled != value:
            assert stage_.status["verdict"] == "Running", "an attempt waits"
        before = copy.deepcopy((stage_.objects, stage_.status))
        assert not stage_.step()
        assert (stage_.objects, stage_.status) == before, "a second pass writes nothing"
    assert len(stage_.of("ConfigMap")) <= 40
