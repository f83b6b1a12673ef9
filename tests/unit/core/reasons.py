"""The reasons that users can see, read out of the package's source.

A reason is one CamelCase word. Not every such text in the source is one: `NOT_REASONS` names those
that are kinds of objects, states, labels of reports and the like, so that a new one is either
documented or named there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["NOT_REASONS", "all_texts", "reasons"]

PACKAGE = Path(__file__).parents[3] / "operator" / "ascendllm"

_REASON = re.compile(r"[A-Z][a-z]+(?:[A-Z]+[a-z]*)*|[A-Z]+[a-z][A-Za-z]+")
_ERRORS = {"CheckError", "DownloadError", "SpecError"}
_LOOKUPS = {"cast", "delete", "find", "get", "getattr", "isinstance", "list", "of", "setdefault"}
"""Functions that are called with names of kinds, fields and types."""

_WITHOUT_REASONS = {"api", "desired", "report", "simulator"}
"""Folders in which only the reasons of errors count: the other texts are fields and labels."""

_OTHER_WORDS = """
    Accepted Available Background Bauer BearerToken Commands Complete ConfigMap Connection
    ContainerCreating ControllerRevision DeleteOptions Deployment Due Error Event ExpiredToken
    Failed False Finished Fischer FreeRestartNPU Gi HTTPRoute HorizontalPodAutoscaler Host
    Inconclusive Ingenieur Ingress InvalidToken Itl ItlMs Job LeaderWorkerSet Lease Lehrer
    ManuallySeparateNPU Mi MiB MindCluster Ms NaN Nachbar Node None Normal Paris Pending
    PersistentVolumeClaim Pod PodDisruptionBudget PodInitializing PodScheduled PreSeparateNPU Ready
    Reconciling ReplicaFailure ReplicaSet ResolvedRefs RestartBusiness RestartNPU Role RoleBinding
    ScaledObject ScalingActive ScalingDisabled SeparateNPU Service ServiceAccount Skipped Stalled
    Starting StatefulSet Succeeded TokenRefreshRequired Tpot TpotMs True Ttft TtftMs Unhealthy
    Unknown Validated Warning
"""

NOT_REASONS = frozenset(_OTHER_WORDS.split())


def reasons() -> set[str]:
    """Every text of the package that may be a reason."""
    return {text for file in _files() for text in _reasons_of(file)} - NOT_REASONS


def all_texts() -> set[str]:
    """Every CamelCase text of the package, reason or not."""
    return {text for file in _files() for _, text in _texts(ast.parse(file.read_text("utf-8")))}


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _reasons_of(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text("utf-8"))
    if file.relative_to(PACKAGE).parts[0] in _WITHOUT_REASONS:
        roots = [node for node in ast.walk(tree) if _called(node) in _ERRORS]
    else:
        roots = [tree]
    skipped = {id(inner) for node in ast.walk(tree) for part in _names(node) for inner in _in(part)}
    for root in roots:
        yield from (text for node, text in _texts(root) if id(node) not in skipped)


def _texts(root: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(root):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and _REASON.fullmatch(node.value)
        ):
            yield node, node.value


def _names(node: ast.AST) -> Iterator[ast.AST | None]:
    """Parts of a node in which a text is a name: a type, an export, a key, something compared."""
    match node:
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            yield node
        case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=annotation):
            yield annotation
        case ast.FunctionDef(returns=returns) | ast.AsyncFunctionDef(returns=returns):
            yield returns
        case ast.Subscript(slice=part):
            yield part
        case ast.Compare(left=left, comparators=comparators):
            yield from (left, *comparators)
        case ast.Dict(keys=keys):
            yield from keys
        case ast.Call(args=args) if _called(node) in _LOOKUPS:
            yield from args


def _called(node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return ""


def _in(part: ast.AST | None) -> Iterator[ast.AST]:
    return iter(()) if part is None else ast.walk(part)
