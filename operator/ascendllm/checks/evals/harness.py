"""lm-eval as a process: its configuration, its output, its end.

It gets everything by a file: nothing has to be quoted, nothing is shown in an argument list. It is
a process group of its own and is killed with all its children when the check ends in any way.
Verified with lm_eval 0.4.12: it runs without torch and without transformers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ascendllm.checks.client import read_limited
from ascendllm.checks.evals.task import TaskSpec
from ascendllm.checks.result import compact_json, one_line
from ascendllm.exceptions import CheckError

__all__ = ["Harness", "configuration", "describe_tasks", "environment"]

TAIL_CHARACTERS = 1200
LINE_BYTES = 64 * 1024
DESCRIBE_SECONDS = 300.0

_TOTAL = re.compile(r"Requesting API:\s+0%\|[^|]*\|\s*0/(\d{1,9})\b")
_CUT = re.compile(r"left.truncat", re.IGNORECASE)
_NOISE = re.compile(r"^\s*$|\d+%\||it/s|examples/s")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


@dataclass(slots=True)
class Harness:
    """What a running lm-eval writes.

    Args:
        more: Called with the number of requests that it is about to send.
    """

    more: Callable[[int], None]
    tail: list[str] = field(default_factory=list)
    truncated: str = ""

    def line(self, text: str) -> None:
        """Take note of one line."""
        if found := _TOTAL.search(text):
            self.more(int(found[1]))
        if _CUT.search(text) and "disabled" not in text:
            self.truncated = self.truncated or one_line(text)[:300]
        if not _NOISE.search(text):
            self.tail.append(one_line(text)[:400])
            del self.tail[:-40]

    @property
    def last_words(self) -> str:
        """The end of what it wrote."""
        return " | ".join(self.tail)[-TAIL_CHARACTERS:] or "nothing"

    async def run(self, folder: Path, config: Mapping[str, object], data: Path | None) -> int:
        """Run lm-eval to its end.

        Args:
            folder: A private folder for its files.
            config: From `configuration`.
            data: Its working folder; None: `folder`.

        Returns:
            The exit code; negative where a signal ended it.
        """
        file = folder / "config.json"
        file.write_text(compact_json(config), encoding="utf-8")
        arguments = ("-m", "lm_eval", "run", "--config", str(file))
        async with _process(arguments, data or folder, environment(folder, data)) as running:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(running.out))
                group.create_task(self._read(running.errors))
            return await running.process.wait()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in _lines(stream):
            self.line(line)


def configuration(
    task: TaskSpec,
    kind: Literal["base", "instruct"],
    model: str,
    address: str,
    settings: Mapping[str, object],
) -> dict[str, object]:
    """The file that `lm_eval run --config` reads (JSON is YAML).

    Args:
        task: What is run.
        kind: base completes, instruct chats.
        model: The served name.
        address: The proxy's, without a path.
        settings: `concurrency`, `seconds` (of one request), `maxModelLen`, `scored`, `output`.
    """
    chat = kind == "instruct"
    scored = bool(settings["scored"])
    path = "/v1/chat/completions" if chat else "/v1/completions"
    arguments: dict[str, object] = {
        "model": model,
        "base_url": address + path,
        "tokenizer_backend": "remote" if scored else None,
        "tokenized_requests": scored,
        "num_concurrent": settings["concurrency"],
        "max_retries": 1,  # the proxy repeats
        "timeout": settings["seconds"],
    }
    if settings["maxModelLen"] is not None:
        # One token of the context is the beginning's, which the proxy adds.
        arguments["max_length"] = int(str(settings["maxModelLen"])) - 1
    config: dict[str, object] = {
        "model": "local-chat-completions" if chat else "local-completions",
        "model_args": arguments,
        # Twice: a single name that is also a folder would be read as a folder of tasks.
        "tasks": [task.name, task.name],
        "output_path": settings["output"],
        "log_samples": True,
        "device": None,
    }
    if task.shots is not None:
        config["num_fewshot"] = task.shots
    if task.limit is not None:
        config["limit"] = task.limit
    if chat:
        config |= {"apply_chat_template": True, "fewshot_as_multiturn": True}
    return config


def environment(folder: Path, data: Path | None) -> dict[str, str]:
    """lm-eval's environment: no key of ours; with its own data, no network either."""
    kept = {k: v for k, v in os.environ.items() if not _SECRET.search(k)}
    if data is None and (token := os.environ.get("HF_TOKEN")):
        kept["HF_TOKEN"] = token  # it fetches its data sets by itself
    away = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
    kept |= {"NO_PROXY": away, "no_proxy": away, "PYTHONUNBUFFERED": "1", "TQDM_MININTERVAL": "1"}
    if data is not None:
        home = str(folder / "huggingface")
        kept |= {name: "1" for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")}
        kept |= {name: "1" for name in ("HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")}
        kept |= {"HF_HOME": home, "HF_DATASETS_CACHE": f"{home}/datasets"}
        kept |= {"HF_MODULES_CACHE": f"{home}/modules", "USE_MODELSCOPE_HUB": "0"}
    return kept


async def describe_tasks(names: Sequence[str], folder: Path) -> dict[str, object]:
    """Ask lm-eval what it knows of tasks: the object that `evals.describe` prints.

    Raises:
        CheckError: `NoHarness` where lm-eval is not installed, or `HarnessFailed`.
    """
    arguments = ("-m", "ascendllm.checks.evals.describe", *names)
    tail: list[str] = []
    async with _process(arguments, folder, environment(folder, folder)) as running:
        reading = asyncio.create_task(_tail(running.errors, tail))
        try:
            async with asyncio.timeout(DESCRIBE_SECONDS):
                out = await read_limited(running.out.read)
                code = await running.process.wait()
                await reading
        except TimeoutError:
            raise CheckError(
                "HarnessFailed", f"lm-eval did not list its tasks within {DESCRIBE_SECONDS:g} s"
            ) from None
        finally:
            reading.cancel()
    words = " | ".join(tail)[-TAIL_CHARACTERS:]
    if code and "No module named 'lm_eval'" in words:
        raise CheckError(
            "NoHarness",
            "lm-eval is not installed beside this command: use the evals image, or install "
            "lm-eval[api]==0.4.12 there",
        )
    try:
        found = json.loads(out) if code == 0 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CheckError("HarnessFailed", f"lm-eval can't list its tasks (exit {code}): {words}")
    return found


@dataclass(frozen=True, slots=True)
class _Running:
    process: asyncio.subprocess.Process
    out: asyncio.StreamReader
    errors: asyncio.StreamReader


@contextlib.asynccontextmanager
async def _process(
    arguments: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> AsyncIterator[_Running]:
    """A process of this Python in a group of its own; the whole group is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # what lies in the working folder is data, no module
        *arguments,
        cwd=folder,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, errors = process.stdout, process.stderr
        if out is None or errors is None:
            raise CheckError("InternalError", "a process without pipes; this is a bug of ours")
        yield _Running(process, out, errors)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _tail(stream: asyncio.StreamReader, tail: list[str]) -> None:
    async for line in _lines(stream):
        tail.append(one_line(line)[:400])
        del tail[:-40]


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines, cut at carriage returns too: a progress bar is one line redrawn."""
    rest = b""
    while part := await stream.read(64 * 1024):
        *lines, rest = re.split(rb"[\r\n]", rest + part)
        for line in [*lines, *([rest] if len(rest) > LINE_BYTES else [])]:
            yield line[:LINE_BYTES].decode("utf-8", "replace")
        rest = b"" if len(rest) > LINE_BYTES else rest
    if rest:
        yield rest.decode("utf-8", "replace")
