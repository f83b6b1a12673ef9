"""What `vllm serve` would refuse, told before any pod starts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from ascendllm.api.engine import Engine
from ascendllm.api.limits import CONFIG_BYTES
from ascendllm.decide.policies.given import Input
from ascendllm.engine import ascend, options
from ascendllm.engine.arguments import tensor_parallel_size
from ascendllm.engine.config_file import Entry, entries
from ascendllm.engine.in_force import field_value, in_force, is_set
from ascendllm.engine.multi_node import OWNED_IN_GROUPS
from ascendllm.engine.ownership import FIELDS, OWNED
from ascendllm.exceptions import SpecError

__all__ = [
    "adapters_refused",
    "ascend_refuses",
    "engine_arguments_refused",
    "engine_config_refused",
    "engine_config_too_large",
    "parallelism_does_not_fit",
    "too_long_for_one_step",
]

_SHOWN = 5
"""Problems that one message tells of."""


def parallelism_does_not_fit(given: Input) -> SpecError | None:
    """tensor x pipeline x data parallel size must be the NPUs: no card idle, none missing."""
    spec, engine = given.spec, in_force(given.spec.engine)
    tensor = tensor_parallel_size(engine, spec.npus)
    product = tensor * engine.pipeline_parallel_size * engine.data_parallel_size
    if product == spec.npus:
        return None
    there = f"spec.npu.count gives a pod {spec.npu.count}"
    if spec.nodes > 1:
        there = f"spec.npu.count {spec.npu.count} x spec.nodes {spec.nodes} = {spec.npus}"
    return SpecError(
        "ParallelismMismatch",
        f"spec.engine asks for tensorParallelSize {tensor} x pipelineParallelSize "
        f"{engine.pipeline_parallel_size} x dataParallelSize {engine.data_parallel_size} = "
        f"{product} NPUs, {there}: the two must be equal; change one",
    )


def engine_arguments_refused(given: Input) -> SpecError | None:
    """An option that `vllm serve` would refuse is named before any pod starts."""
    problems = _judged(given, given.spec.engine.args or [])
    if not problems:
        return None
    return SpecError("InvalidEngineArgs", f"spec.engine.args: {_joined(problems)}")


def engine_config_refused(given: Input) -> SpecError | None:
    """The entries of `config` are judged as options, beside the fields and `args`."""
    engine = given.spec.engine
    if engine.config is None:
        return None
    problems: list[str] = []
    arguments: list[str] = []
    fields: dict[str, str] = {}
    for entry in entries(engine.config, options.load()):
        attribute = FIELDS.get(entry.option.dest) if entry.option is not None else None
        problem = _bad_entry(entry)
        if problem is None and attribute is not None:
            problem = _bad_field(engine, attribute, entry) or _twice(fields, attribute, entry)
        if problem is not None:
            problems.append(f"{entry.key}: {problem}")
        elif attribute is None:
            arguments += entry.arguments
    own = list(engine.args or [])
    problems += _judged(given, [*own, *arguments])[len(_judged(given, own)) :]
    if not problems:
        return None
    return SpecError("InvalidEngineArgs", f"spec.engine.config: {_joined(problems)}")


def _judged(given: Input, args: list[str]) -> list[str]:
    runtime = given.spec.runtime
    other = options.table_for(runtime.version) is None
    owned = {**OWNED, **(OWNED_IN_GROUPS if given.spec.nodes > 1 else {})}
    problems = options.load().problems(args, owned, other_version=other)
    return [problem.message for problem in problems]


def _bad_entry(entry: Entry) -> str | None:
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(\.[A-Za-z0-9_.+-]+)?", entry.key) is None:
        return "a key is the name of an option without its dashes, such as max-num-seqs"
    if entry.value is None or entry.value == []:
        return "the value is missing: give one, or remove the key"
    return None


def _bad_field(engine: Engine, attribute: str, entry: Entry) -> str | None:
    """The entry against the field of the same option."""
    alias = Engine.model_fields[attribute].alias
    if is_set(engine, attribute):
        return f"spec.engine.{alias} sets it too: remove one"
    value = field_value(entry)
    if value is None:
        kind = "keys behind dots" if "." in entry.key else f"{entry.value!r:.80}"
        return f"{kind} cannot be read as the value of spec.engine.{alias}: set that instead"
    try:
        Engine.model_validate({attribute: value})
    except ValidationError as error:
        return f"{error.errors()[0]['msg']}, not {value!r:.80}, as in spec.engine.{alias}"
    return None


def _twice(fields: dict[str, str], attribute: str, entry: Entry) -> str | None:
    first = fields.setdefault(attribute, entry.key)
    return None if first == entry.key else f"given twice, before as {first}: remove one"


def _joined(problems: list[str]) -> str:
    more = len(problems) - _SHOWN
    text = "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    # An option may have 4,096 characters; the remedy behind it must still be seen.
    return re.sub(r"(\S{100})\S{60,}", r"\1…", text)


def ascend_refuses(given: Input) -> SpecError | None:
    """What vLLM-Ascend ends on at start though vLLM takes it."""
    problems = ascend.refusals(given.spec)
    return SpecError("InvalidEngine", _joined(problems)) if problems else None


def engine_config_too_large(given: Input) -> SpecError | None:
    """Each setting of JSON becomes one argument, and Linux limits those to 128 KiB."""
    engine = given.spec.engine
    for field, value in (
        ("additionalConfig", engine.additional_config),
        ("compilationConfig", engine.compilation_config),
        ("config", engine.config),
    ):
        size = len(json.dumps(value).encode()) if value is not None else 0
        if size > CONFIG_BYTES:
            return SpecError(
                "InvalidEngine",
                f"spec.engine.{field} is {size} bytes of JSON: at most {CONFIG_BYTES} can be "
                "given; leave out what is at its default",
            )
    return None


def too_long_for_one_step(given: Input) -> SpecError | None:
    """vLLM refuses a step that cannot hold what must be in it."""
    problem = next(_steps(in_force(given.spec.engine)), None)
    return SpecError("InvalidEngine", problem) if problem is not None else None


def adapters_refused(given: Input) -> SpecError | None:
    """An adapter under the model's own name would hide it, and LoRA switched off loads none."""
    engine = in_force(given.spec.engine)
    if engine.loras is None:
        return None
    served = given.spec.model.served_name or given.name
    names = [lora.name for lora in engine.loras]
    if served in names:
        return SpecError(
            "InvalidEngine",
            f"spec.engine.loras[{names.index(served)}].name {served} is the model's own served "
            "name: rename the adapter, or set spec.model.servedName",
        )
    if options.load().values(engine.args or []).get("enable_lora") is False:
        return SpecError(
            "InvalidEngine",
            "spec.engine: --no-enable-lora excludes spec.engine.loras: remove one",
        )
    return None


def _steps(engine: Engine) -> Iterator[str]:
    tokens, sequences = engine.max_num_batched_tokens, engine.max_num_seqs
    if tokens is None:
        return
    if sequences is not None and tokens < sequences:
        yield (
            f"spec.engine.maxNumBatchedTokens {tokens} is less than maxNumSeqs {sequences}: a step "
            "holds at least one token of each sequence; raise the first or lower the second"
        )
    values: Mapping[str, object] = options.load().values(engine.args or [])
    length = engine.max_model_len
    if values.get("enable_chunked_prefill") is False and length is not None and tokens < length:
        yield (
            f"spec.engine.maxNumBatchedTokens {tokens} is less than maxModelLen {length} with "
            "--no-enable-chunked-prefill: a step holds a whole prompt; raise the first, or remove "
            "the option"
        )
