"""The cluster that is up, with the operator on it; what the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster import choice
from cluster.errors import ClusterError
from cluster.installation import install, make_data
from cluster.provider import Provider
from e2e.space import Space, namespace

_REMEDY = "bring one up first: `python tests/cluster up` (`make e2e` does it all)"


@pytest.fixture(scope="session")
def installed() -> Provider:
    """The cluster that is up, the operator of this checkout on it."""
    cluster = choice.current()
    if cluster is None:
        pytest.fail(f"the end-to-end tests need a cluster, and none is up; {_REMEDY}")
    try:
        cluster.kubectl("get", "--raw=/readyz")
    except ClusterError as error:
        pytest.fail(f"the cluster that was brought up does not answer: {error}; {_REMEDY}")
    make_data(cluster)
    install(cluster)
    return cluster


@pytest.fixture
def space(installed: Provider) -> Iterator[Space]:
    """A namespace for one test."""
    with namespace(installed, "test") as made:
        yield made
