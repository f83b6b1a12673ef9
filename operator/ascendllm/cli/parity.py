"""`ascendllm parity record`: the reference that `ascendllm validate parity` needs."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ascendllm.cli.validate.common import FILE, NumberRange, kind_option
from ascendllm.exceptions import CheckError, SpecError

if TYPE_CHECKING:
    from ascendllm.checks.parity.reference import Reference

__all__ = ["command"]

CONFIG_MAP_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Options:
    base_url: str | None
    model: str | None
    api_key_file: Path | None
    transformers: Path | None
    prompts: Path | None
    text: Path | None
    output: Path
    kind: Literal["base", "instruct"]
    control: bool
    max_tokens: int
    longest: int
    dtype: str
    device: str
    timeout: float


@click.group()
def command() -> None:
    """References for `ascendllm validate parity`."""


@command.command("record")
@click.option("--base-url", help="A trusted server, with or without /v1.")
@click.option("--model", help="Its served name, to the letter.")
@click.option("--api-key-file", type=FILE, help="A file that holds the server's API key.")
@click.option(
    "--transformers",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Instead of a server: a model's folder, run by transformers in this process.",
)
@kind_option
@click.option(
    "--prompts",
    type=FILE,
    help='JSON lines, each {"prompt": "…"} or {"messages": […]}; unset: sixteen built-in ones.',
)
@click.option("--text", type=FILE, help="Plain text for the perplexity; unset: a built-in one.")
@click.option("--output", type=FILE, required=True, help="The file that is written.")
@click.option(
    "--control",
    is_flag=True,
    help="Ask everything twice: the second run's differences are the noise that is allowed.",
)
@click.option("--max-tokens", type=click.IntRange(1, 512), default=64, show_default=True)
@click.option(
    "--longest",
    type=click.IntRange(32, 1024),
    default=1024,
    show_default=True,
    help="Tokens of a sequence; the checked server's max_model_len must be larger.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "bfloat16", "float16", "float32"]),
    default="auto",
    show_default=True,
    help="Of the model: what a server was started with; what transformers shall load.",
)
@click.option("--device", default="cpu", show_default=True, help="Where transformers puts it.")
@click.option("--timeout", type=NumberRange(1, 7 * 86400), default=21600, show_default=True)
def record_command(**values: Any) -> None:
    """Record greedy answers and log-probabilities from a trusted server or a model's folder."""
    options = _Options(**values)
    if (options.base_url is None) == (options.transformers is None):
        raise click.UsageError("give either --base-url (with --model) or --transformers FOLDER.")
    if options.base_url is not None and options.model is None:
        raise click.UsageError("--base-url needs --model, the served name.")
    folder = options.output.resolve().parent
    if options.output.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise click.UsageError(f"--output {options.output}: not a writable file's path.")
    try:
        text = asyncio.run(_within(options))
    except (CheckError, SpecError) as error:
        print(f"ascendllm parity record: {error.reason}: {error.message}", file=sys.stderr)
        sys.exit(2)
    print(text)


async def _within(options: _Options) -> str:
    try:
        async with asyncio.timeout(options.timeout):
            return _write(options.output, await _record(options))
    except TimeoutError:
        raise CheckError(
            "TimedOut", f"not finished within {options.timeout:g} s; raise --timeout"
        ) from None


async def _record(options: _Options) -> Reference:
    from ascendllm.checks.client import Client, open_session
    from ascendllm.checks.endpoint import parse_endpoint
    from ascendllm.checks.parity.record import record
    from ascendllm.checks.parity.server import ServerSource, engine_of
    from ascendllm.checks.parity.transformers_source import load
    from ascendllm.checks.retry import RetryPolicy

    if options.transformers is not None:
        own = await asyncio.to_thread(load, options.transformers, options.dtype, options.device)
        meta = {"model": options.model or options.transformers.resolve().name}
        meta |= {"engine": own.engine, "dtype": own.dtype, "device": options.device}
        return await record(own, _recording(options, meta, own.max_model_len), _tell)
    endpoint = parse_endpoint(options.base_url or "", options.model or "", options.api_key_file)
    async with open_session(1) as session:
        client = Client(session, endpoint, RetryPolicy(attempts=8, first=0.5, longest=15.0))
        facts = await client.facts()
        dtype = "unknown" if options.dtype == "auto" else options.dtype
        meta = {"model": endpoint.model, "engine": await engine_of(client), "dtype": dtype}
        wanted = _recording(options, meta, facts.max_model_len)
        return await record(ServerSource(client, 300.0), wanted, _tell)


def _recording(options: _Options, meta: dict[str, str], max_model_len: int | None) -> Any:
    from ascendllm.checks.parity.plain_text import built_in_text, read_text
    from ascendllm.checks.parity.prompts import built_in, read_prompts
    from ascendllm.checks.parity.record import Recording

    longest = options.longest
    if max_model_len is not None:
        longest = min(longest, max_model_len - 1)
    return Recording(
        read_prompts(options.prompts) if options.prompts else built_in(options.kind),
        read_text(options.text) if options.text else built_in_text(),
        options.max_tokens,
        options.control,
        meta,
        longest,
    )


def _write(path: Path, reference: Reference) -> str:
    """Write the file; what is said of it."""
    from ascendllm.checks.parity.reference import read_reference, to_text
    from ascendllm.checks.sinks import write_atomically

    text = to_text(reference)
    try:
        write_atomically(path, text)
    except OSError as error:
        raise SpecError("BadOutput", f"--output {path}: not written: {error}") from None
    stored = read_reference(path)
    tokens = sum(len(window.token_ids) - 1 for window in stored.texts)
    answers = sum(len(prompt.output_token_ids) for prompt in stored.prompts)
    lines = [
        f"{path}: {len(stored.prompts)} prompts, {answers} answer tokens, {tokens} text tokens; "
        f"{len(text.encode())} bytes, {stored.digest}"
    ]
    if tokens < 10_000:
        lines.append("text tokens: 10,000 are needed to tell 0.1 percent of perplexity")
    if len(text.encode()) > CONFIG_MAP_BYTES:
        lines.append("too long for a ConfigMap (1 MiB): put it where `data` can name it")
    if stored.control is None:
        lines.append("no control run (--control): `validate parity` will need thresholds")
    return "\n".join(lines)


def _tell(stage: str, done: int, total: int) -> None:
    if done == total or done % 10 == 0:
        print(f"{stage} {done}/{total}", file=sys.stderr, flush=True)
