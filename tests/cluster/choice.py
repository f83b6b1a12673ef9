"""Which cluster is meant: the one that is up, or the first provider that fits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from cluster.bare import BareCluster
from cluster.errors import ClusterError
from cluster.existing import ExistingCluster
from cluster.kind import KindCluster
from cluster.paths import INSTANCE, cache_folder
from cluster.provider import Provider

__all__ = [
    "KUBECONFIG_VARIABLE",
    "PROVIDERS",
    "chosen",
    "current",
    "forget",
    "one_at_a_time",
    "remember",
]

PROVIDERS = ("auto", "kubeconfig", "kind", "bare")
KUBECONFIG_VARIABLE = "ASCENDLLM_KUBECONFIG"


def chosen(provider: str, kubeconfig: str | None) -> Provider:
    """The cluster that the caller asks for.

    Args:
        provider: One of PROVIDERS; `auto` is the caller's own where one is named, else the one
            that is up, else kind's where it can be had, else a bare one.
        kubeconfig: The caller's own cluster; unset: the environment's ASCENDLLM_KUBECONFIG.
    """
    kubeconfig = kubeconfig or os.environ.get(KUBECONFIG_VARIABLE)
    if provider != "auto":
        return _cluster(provider, kubeconfig)
    if kubeconfig:
        return _cluster("kubeconfig", kubeconfig)
    return current() or _cluster("kind" if KindCluster.usable() else "bare", None)


def current() -> Provider | None:
    """The cluster that `up` was last asked for and `down` was not; it may be half up."""
    try:
        record = json.loads(_record().read_text())
    except FileNotFoundError:
        return None
    return _cluster(record["provider"], record["kubeconfig"])


def remember(cluster: Provider) -> None:
    """Make a cluster the current one, before anything of it is made.

    Raises:
        ClusterError: It can't be had here, or another one is the current one.
    """
    cluster.check()
    other = current()
    record = {"provider": cluster.name, "kubeconfig": str(cluster.kubeconfig)}
    if other and (other.name, other.kubeconfig) != (cluster.name, cluster.kubeconfig):
        raise ClusterError(
            f"a cluster of provider {other.name} is up ({other.kubeconfig}); "
            "take it down first: `python tests/cluster down`"
        )
    _record().parent.mkdir(parents=True, exist_ok=True)
    _record().write_text(json.dumps(record))


def forget() -> None:
    """No cluster is the current one."""
    _record().unlink(missing_ok=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one process at a time bring clusters up or down."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / f"cluster-{INSTANCE}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _cluster(provider: str, kubeconfig: str | None) -> Provider:
    if provider == "kind":
        return KindCluster()
    if provider == "bare":
        return BareCluster()
    if not kubeconfig:
        raise ClusterError(
            "--provider kubeconfig: needs --kubeconfig FILE, or the environment's "
            f"{KUBECONFIG_VARIABLE}"
        )
    return ExistingCluster(Path(kubeconfig).absolute())


def _record() -> Path:
    return cache_folder() / f"cluster-{INSTANCE}.json"
