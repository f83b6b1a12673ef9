"""The operator takes over the objects of an earlier version: it writes statuses, and nothing else.

tests/takeover holds the objects that earlier versions left on an API server; its README describes
how they were recorded. The statuses that the present operator writes for them are golden files,
`*.status.yaml`: `pytest --update-golden` updates them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ascendllm.kube.client import ApiServer
from ascendllm.kube.kinds import KINDS, path
from ascendllm.reconcile import Reconciler
from ascendllm.report.yaml import to_yaml
from ascendllm.settings import Settings
from cluster.control_plane import ControlPlane
from cluster.definitions import GATEWAY_API, KEDA, LEADER_WORKER_SET, installed
from integration.admin import Admin
from integration.mortal import Mortal
from takeover.fixtures import FOLDER, TEXTS, Fixture, substitute
from takeover.restore import Restored, restored

FIXTURES = sorted(
    file
    for file in FOLDER.glob("*/*.yaml")
    if file.name != TEXTS and not file.name.endswith(".status.yaml")
)
PROVEN = ("seed-000", "evals", "hugging-face", "loras-downloaded", "nodes-tp")
IMAGES = ("validatorImage", "downloaderImage")
MOST_PASSES = 6

Object = Mapping[str, Any]


@pytest.fixture(scope="module", autouse=True)
def definitions(control_plane: ControlPlane) -> Iterator[None]:
    """The optional kinds are installed."""
    with installed(control_plane, GATEWAY_API, KEDA, LEADER_WORKER_SET):
        control_plane.kubectl(
            "get", "httproutes,scaledobjects,leaderworkersets", "--all-namespaces"
        )
        yield


class WatchedClient(Mortal):
    """Notes every write, and puts recorded metadata that no client can set into what is read.

    Args:
        api: The API server.
        unset: That metadata by uid, such as `creationTimestamp`.
    """

    def __init__(self, api: ApiServer, unset: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(api)
        self._unset = unset
        self.statuses = 0
        self.others: list[str] = []
        """Every other write, as a line of text."""

    async def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        item = await super().get(kind, namespace, name)
        return None if item is None else self._as_recorded(item)

    async def list(self, *about: Any, **form: Any) -> tuple[Object, ...]:
        return tuple([self._as_recorded(item) for item in await super().list(*about, **form)])

    async def each(self, *about: Any, **form: Any) -> AsyncIterator[Object]:
        async for item in super().each(*about, **form):
            yield self._as_recorded(item)

    async def apply_status(self, item: Object) -> Object:
        self.statuses += 1
        return await super().apply_status(item)

    async def apply(self, item: Object, *manager: str) -> Object:
        self.others.append(f"apply {_name(item)}")
        return await super().apply(item, *manager)

    async def create(self, item: Object) -> Object:
        self.others.append(f"create {_name(item)} {item.get('reason', '')}")
        return await super().create(item)

    async def replace(self, item: Object) -> Object:
        self.others.append(f"replace {_name(item)}")
        return await super().replace(item)

    async def merge(self, kind: str, namespace: str, name: str, patch: Object) -> Object:
        self.others.append(f"merge {kind} {name} {patch}")
        return await super().merge(kind, namespace, name, patch)

    async def delete(self, *about: Any, **form: Any) -> None:
        self.others.append(f"delete {about}")
        await super().delete(*about, **form)

    def _as_recorded(self, item: Object) -> Object:
        metadata = item["metadata"]
        return {**item, "metadata": {**metadata, **self._unset.get(metadata["uid"], {})}}


def _name(item: Object) -> str:
    return f"{item['kind']} {item['metadata'].get('name')}"


async def versions(admin: Admin, namespace: str) -> dict[str, str]:
    """The resourceVersion of every object except AscendLLMs; Events are included."""
    found = {}
    for kind, about in KINDS.items():
        if about.namespaced and kind != "AscendLLM":
            for item in (await admin._request("GET", path(kind, namespace)))["items"]:
                name = item["metadata"]["name"]
                # The controllers of the test's own control plane create these.
                if name not in ("kube-root-ca.crt", "default"):
                    found[f"{kind} {name}"] = item["metadata"]["resourceVersion"]
    return found


async def take_over(api: ApiServer, items: Restored, settings: Settings) -> WatchedClient:
    """Reconcile every resource until a pass writes nothing."""
    client = WatchedClient(api, items.unset)
    reconciler = Reconciler(client, settings, lambda: items.now)
    for _ in range(MOST_PASSES):
        before = client.writes
        for name in items.resources:
            await reconciler.reconcile((items.namespace, name))
        if client.writes == before:
            return client
    raise AssertionError(f"there are still writes after {MOST_PASSES} passes: {client.others}")


async def statuses(admin: Admin, items: Restored) -> dict[str, Any]:
    """The statuses of the resources, by name."""
    found = {}
    for name in items.resources:
        item = await admin.get("AscendLLM", items.namespace, name)
        assert item is not None
        found[name] = item["status"]
    return found


def shown(found: Mapping[str, Any], items: Restored) -> str:
    """The statuses as YAML, with the uids of the fixture."""
    return to_yaml(substitute(found, {new: old for old, new in items.uids.items()}))


def case_of(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


@pytest.mark.parametrize("file", FIXTURES, ids=case_of)
async def test_nothing_is_written_but_statuses(
    admin: Admin, api: ApiServer, pytestconfig: pytest.Config, file: Path
) -> None:
    fixture = Fixture.load(file)
    async with restored(admin, fixture) as items:
        before = await versions(admin, items.namespace)
        client = await take_over(api, items, Settings.from_mapping(fixture.settings))
        assert client.others == []
        assert await versions(admin, items.namespace) == before
        text = shown(await statuses(admin, items), items)
    golden = file.with_suffix(".status.yaml")
    if pytestconfig.getoption("--update-golden"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), (
        "run pytest --update-golden, and look at the difference"
    )


@pytest.mark.parametrize("case", PROVEN)
async def test_without_images_of_jobs_proven_resources_stay_ready(
    admin: Admin, api: ApiServer, case: str
) -> None:
    fixture = Fixture.load(FOLDER / "3e63293" / f"{case}.yaml")
    own = {key: value for key, value in fixture.settings.items() if key not in IMAGES}
    async with restored(admin, fixture, f"{fixture.namespace}-imageless") as items:
        client = await take_over(api, items, Settings.from_mapping(own))
        assert client.others == []
        for name, status in (await statuses(admin, items)).items():
            (ready,) = [item for item in status["conditions"] if item["type"] == "Ready"]
            assert ready["status"] == "True", (name, ready)
