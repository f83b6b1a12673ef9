"""Would an apply change anything?"""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.kube.compare import differs, leftover


def live(
    fields: dict[str, Any], owned: dict[str, Any] | None = None, **entry: Any
) -> dict[str, Any]:
    managed = {"manager": "ascendllm", "operation": "Apply", "fieldsV1": owned or {}, **entry}
    return {**fields, "metadata": {"managedFields": [managed]}}


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"spec": {"a": 1}}, {"spec": {"a": 1, "b": "the server's"}}),
    ({"spec": {"a": 66.0}}, {"spec": {"a": 66}}),
    ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "500m"}}),
    ({"limits": {"memory": "1024Mi"}}, {"limits": {"memory": "1Gi"}}),
    ({"emptyDir": {"sizeLimit": "16384Mi"}}, {"emptyDir": {"sizeLimit": "16Gi"}}),
    ({"list": [{"a": 1}]}, {"list": [{"a": 1, "b": 2}]}),
    ({"list": []}, {"list": []}),
    ({"ownerReferences": [{"uid": "1"}]}, {"ownerReferences": [{"uid": "2"}, {"uid": "1"}]}),
]


@pytest.mark.parametrize(("desired", "there"), SAME)
def test_the_same(desired: dict[str, Any], there: dict[str, Any]) -> None:
    assert not differs(desired, live(there))


OTHER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"spec": {"a": 1}}, {"spec": {"a": 2}}),
    ({"spec": {"a": 1}}, {"spec": {}}),
    ({"spec": {"a": 1}}, {}),
    ({"spec": {"a": 1}}, {"spec": {"a": True}}),
    ({"spec": {"a": "1"}}, {"spec": {"a": 1}}),
    ({"spec": {"a": "0.5"}}, {"spec": {"a": "500m"}}),
    ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "500m"}}),
    ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "one"}}),
    ({"list": [1, 2]}, {"list": [2, 1]}),
    ({"list": [1]}, {"list": [1, 2]}),
    ({"list": [1]}, {"list": "1"}),
    ({"spec": {"a": {}}}, {"spec": {"a": "x"}}),
    ({"ownerReferences": [{"uid": "1"}]}, {"ownerReferences": [{"uid": "2"}]}),
]


@pytest.mark.parametrize(("desired", "there"), OTHER)
def test_other(desired: dict[str, Any], there: dict[str, Any]) -> None:
    assert differs(desired, live(there))


OWNED: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"f:data": {"f:a": {}}}, {"data": {"a": "1"}}, False),
    ({"f:data": {"f:a": {}, "f:b": {}}}, {"data": {"a": "1"}}, True),
    ({"f:data": {".": {}, "f:a": {}}}, {"data": {"a": "1"}}, False),
    ({"f:list": {'k:{"name":"a"}': {"f:x": {}}}}, {"list": [{"name": "a", "x": 1}]}, False),
    ({"f:list": {'k:{"name":"b"}': {}}}, {"list": [{"name": "a"}]}, True),
    ({"f:list": {'k:{"name":"a"}': {"f:y": {}}}}, {"list": [{"name": "a"}]}, True),
    ({"f:list": {'k:{"port":1,"protocol":"TCP"}': {}}}, {"list": [{"port": 1}]}, False),
    ({"f:set": {'v:"a"': {}}}, {"set": ["a"]}, False),
    ({"f:set": {'v:"b"': {}}}, {"set": ["a"]}, True),
]


@pytest.mark.parametrize(("owned", "desired", "wanted"), OWNED)
def test_what_we_own_and_desire_no_more(
    owned: dict[str, Any], desired: dict[str, Any], wanted: bool
) -> None:
    there = (
        {**desired, "data": {**desired.get("data", {}), "b": "2"}} if "data" in desired else desired
    )
    assert differs(desired, live(there, owned)) is wanted


WHOLE: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], bool]] = [
    ({"f:list": {}}, {"list": [{"a": 1}]}, {"list": [{"a": 1}]}, False),
    ({"f:list": {}}, {"list": [{"a": 1}]}, {"list": [{"a": 1, "b": 2}]}, True),
    ({"f:map": {}}, {"map": {"a": "1"}}, {"map": {"a": "1", "b": "2"}}, True),
    ({"f:map": {"f:a": {}}}, {"map": {"a": "1"}}, {"map": {"a": "1", "b": "2"}}, False),
    ({"f:list": {}}, {"list": [{"target": {"averageValue": "0.5"}}]},
     {"list": [{"target": {"averageValue": "500m"}}]}, False),
    ({"f:template": {"f:list": {}}}, {"template": {"list": [{"a": 1}]}},
     {"template": {"list": [{"a": 1, "b": 2}]}}, False),
    ({"f:template": {"f:list": {}, "f:a": {}}}, {"template": {"list": []}},
     {"template": {"list": [], "a": 1}}, True),
]  # fmt: skip


@pytest.mark.parametrize(("owned", "desired", "there", "wanted"), WHOLE)
def test_what_is_owned_as_a_whole(
    owned: dict[str, Any], desired: dict[str, Any], there: dict[str, Any], wanted: bool
) -> None:
    assert differs(desired, live(there, owned)) is wanted


def test_what_others_own_is_theirs() -> None:
    theirs = live({"data": {"a": "1", "b": "2"}}, {"f:data": {"f:b": {}}}, manager="kubectl")
    assert not differs({"data": {"a": "1"}}, theirs)


def test_the_status_has_its_own_fields() -> None:
    there = live({"status": {"a": 1, "b": 2}}, {"f:status": {"f:b": {}}}, subresource="status")
    assert differs({"status": {"a": 1}}, there, subresource="status")
    assert not differs({"status": {"a": 1}}, there)


@pytest.mark.parametrize(
    ("desired", "applied", "patch"),
    [
        ({"spec": {"a": [1]}}, {"spec": {"a": [1]}}, {}),
        ({"spec": {"a": [1], "b": 1}}, {"spec": {"a": [1, 2], "b": 2}}, {"spec": {"a": [1]}}),
        (
            {"spec": {"c": [{"name": "x", "env": []}]}},
            {"spec": {"c": [{"name": "x", "env": [{"name": "y"}]}]}},
            {"spec": {"c": [{"name": "x", "env": []}]}},
        ),
        ({"metadata": {"ownerReferences": [1]}}, {"metadata": {"ownerReferences": [1, 2]}}, {}),
        ({"spec": {"a": {"b": 1}}}, {"spec": {"a": {"b": 2}}}, {}),
    ],
)
def test_what_an_apply_leaves(
    desired: dict[str, Any], applied: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert leftover(desired, applied) == patch
