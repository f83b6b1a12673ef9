"""What serves: the versions, the place, and the command that was started."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ascendllm.engine.arguments import unescape_argument
from ascendllm.report.blocks import Block, Paragraph, Preformatted, Section
from ascendllm.report.sections.parts import facts, part, texts

__all__ = ["serving", "started"]

_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|_KEY$|^KEY$", re.IGNORECASE)
"""Names whose values a document that is passed on must not hold."""


def serving(resource: Mapping[str, Any], status: Mapping[str, Any]) -> Section:
    """Where the model is, and with what it runs."""
    metadata = resource["metadata"]
    runtime = part(status, "runtime")
    seconds = part(status, "startup").get("launchSeconds")
    return Section(
        "What serves",
        facts(
            [
                ("Resource", f"{metadata.get('namespace', '')}/{metadata['name']}"),
                ("Served revision", status.get("servedRevision")),
                ("Candidate revision", status.get("candidateRevision")),
                ("URL", status.get("url")),
                ("Image", runtime.get("image")),
                ("Image digest", runtime.get("imageID")),
                ("vLLM-Ascend", runtime.get("vllmAscend")),
                ("vLLM", runtime.get("vllm")),
                ("transformers", runtime.get("transformers")),
                ("torch-npu", runtime.get("torchNpu")),
                ("CANN", runtime.get("cann")),
                ("SOC", runtime.get("soc")),
                ("Generation", runtime.get("generation")),
                ("Chip", runtime.get("chip")),
                ("Memory of an NPU", runtime.get("memory")),
                ("Architecture", runtime.get("arch")),
                ("NPUs", status.get("npus")),
                ("Devices", ", ".join(texts(runtime, "devices"))),
                ("Pods ready", status.get("readyReplicas")),
                ("Launch", f"{seconds} s" if seconds is not None else None),
            ]
        ),
    )


def started(template: Mapping[str, Any]) -> Section | None:
    """The command and environment of the serving container, as the revision recorded them.

    Args:
        template: The pod template of the ControllerRevision.
    """
    containers = (template.get("spec") or {}).get("containers") or []
    container = next((item for item in containers if item.get("name") == "vllm"), None)
    if container is None or not container.get("args"):
        return None
    words = [shlex.quote(unescape_argument(str(word))) for word in container["args"]]
    lines = [f"export {item.get('name')}={_value(item)}" for item in container.get("env") or []]
    command = " \\\n  ".join([" ".join(words[:3]), *words[3:]])
    blocks: list[Block] = [Preformatted("\n".join([*lines, command]))]
    limits = (container.get("resources") or {}).get("limits") or {}
    if limits:
        taken = ", ".join(f"{count} x {name}" for name, count in sorted(limits.items()))
        blocks.append(Paragraph(f"Each pod takes {taken}; the device plugin chooses which."))
    return Section("How it was started", blocks)


def _value(item: Mapping[str, Any]) -> str:
    if "valueFrom" in item or _SECRET.search(str(item.get("name", ""))):
        return "<not shown>"
    return shlex.quote(str(item.get("value", "")))
