"""Affinities, as in a pod: `spec.placement.affinity`.

They are modelled rather than passed on as they come, so that what is misspelt is refused when it is
written, and not when a Deployment is made of it. Fields that only some releases of Kubernetes have
stay out: an API server that drops one would be told of it again at every look.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import KeyValue

__all__ = ["Affinity", "NodeAffinity", "NodeSelector", "NodeSelectorTerm", "Requirement"]

_Key = Annotated[str, Field(min_length=1, max_length=317)]
_Weight = Annotated[int, Field(ge=1, le=100)]


class Requirement(ResourceModel):
    """What a label of a node must be."""

    key: _Key
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How it is compared."""
    values: Annotated[list[KeyValue], Field(max_length=64)] | None = None
    """What it is compared with."""


class NodeSelectorTerm(ResourceModel):
    """Requirements that must all hold."""

    match_expressions: Annotated[list[Requirement], Field(max_length=16)] | None = None
    """Of the node's labels."""
    match_fields: Annotated[list[Requirement], Field(max_length=16)] | None = None
    """Of the node's fields, such as metadata.name."""


class NodeSelector(ResourceModel):
    """Terms of which one must hold."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], Field(min_length=1, max_length=16)]
    """The terms."""


class PreferredNodes(ResourceModel):
    """Nodes that are better than others."""

    weight: _Weight
    """How much better."""
    preference: NodeSelectorTerm
    """Which nodes."""


class NodeAffinity(ResourceModel):
    """Which nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that are possible."""
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[list[PreferredNodes], Field(max_length=16)] | None
    ) = None
    """Nodes that are better than others."""


class LabelRequirement(ResourceModel):
    """What a label of a pod or a namespace must be."""

    key: _Key
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How it is compared."""
    values: Annotated[list[KeyValue], Field(max_length=64)] | None = None
    """What it is compared with."""


class LabelSelector(ResourceModel):
    """Labels that must all fit."""

    match_labels: Annotated[dict[str, KeyValue], Field(max_length=16)] | None = None
    """Labels by value."""
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=16)] | None = None
    """Labels by comparison."""


class PodTerm(ResourceModel):
    """Pods, and what it is to be near them."""

    topology_key: _Key
    """The node label whose value the nodes share, such as kubernetes.io/hostname."""
    label_selector: LabelSelector | None = None
    """Which pods."""
    namespaces: Annotated[list[KeyValue], Field(max_length=16)] | None = None
    """Where the pods are; this namespace when unset."""
    namespace_selector: LabelSelector | None = None
    """Where the pods are, by the namespaces' labels."""


class PreferredPods(ResourceModel):
    """Pods that it is better to be near to, or far from."""

    weight: _Weight
    """How much better."""
    pod_affinity_term: PodTerm
    """Which pods."""


class PodAffinity(ResourceModel):
    """Which pods to be near to, or far from."""

    required_during_scheduling_ignored_during_execution: (
        Annotated[list[PodTerm], Field(max_length=16)] | None
    ) = None
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[list[PreferredPods], Field(max_length=16)] | None
    ) = None
    """What is better."""


class Affinity(ResourceModel):
    """Affinities of a pod."""

    node_affinity: NodeAffinity | None = None
    """Which nodes."""
    pod_affinity: PodAffinity | None = None
    """Which pods to be near to."""
    pod_anti_affinity: PodAffinity | None = None
    """Which pods to be far from."""
