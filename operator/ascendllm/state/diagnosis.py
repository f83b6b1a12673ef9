"""Why a server crashed, by what it wrote last: a table of causes, and what to do about each.

The texts are those of vLLM 0.18, vLLM-Ascend 0.18, torch_npu, CANN and transformers. A cause stands
before those that follow from it: without its driver a server also sees no device. A pattern holds
what only the failure prints; options and paths stand in every log.

A log is the user's, and it is searched in the operator's event loop. So its size is bounded, and
so is every repeat in a pattern: the work grows linearly with the log. Repeats are possessive
(`{1,9}+`) where what follows cannot be part of them, which keeps `re` from trying shorter ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ascendllm.checks.result import one_line
from ascendllm.state.stage import quoted

__all__ = ["CAUSES", "ORPHANED_MEMORY", "Cause", "Diagnosis", "diagnose"]

ORPHANED_MEMORY = "OrphanedMemory"
"""The one cause that passes: memory of an NPU that a process which has ended has not given back."""

_LOG_CHARACTERS = 512 * 1024
_LINE_CHARACTERS = 2000
_LINES = 2000
"""Lines that are read: half from the beginning, where the trace that names the cause stands, half
from the end. The operator asks for 400, of which progress bars may make more; without a limit, a
log of one-character lines would be a quarter of a million."""
_SHOWN_CHARACTERS = 300
_WORD = re.compile(r"[\w.]{1,40}")


@dataclass(frozen=True)
class Cause:
    """One way in which a server fails.

    Attributes:
        reason: One CamelCase word.
        pattern: A regular expression that a line of its log matches; every repeat is bounded.
        meaning: What it means; `{name}` is a named group of the pattern, in quotation marks unless
            it is one word.
        remedy: What to do, by fields of the resource where it is one.
    """

    reason: str
    pattern: str
    meaning: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """What a log says of a crash.

    Attributes:
        reason: The cause's word.
        message: What it means and what to do.
        line: The line of the log that tells it, shortened and printable.
    """

    reason: str
    message: str
    line: str


CAUSES: tuple[Cause, ...] = (
    Cause(
        ORPHANED_MEMORY,
        r"Free memory on device \((?P<free>[\d.]{1,20}+)/(?P<all>[\d.]{1,20}+) GiB\) on startup is "
        r"less than desired GPU memory utilization "
        r"\((?P<share>[\d.]{1,20}+), (?P<wanted>[\d.]{1,20}+) GiB\)",
        "{free} of {all} GiB of an NPU are free, {wanted} are wanted: a process that has ended has "
        "not given its memory back yet, or another one uses the card",
        "it is tried again with growing pauses; if it stays so, see npu-smi info on the node for "
        "who holds the card, or lower spec.engine.memoryUtilization",
    ),
    Cause(
        "NoDriver",
        r"libascend_hal\.so|libdrvdsmi_host\.so|libdcmi\.so",
        "the NPU's driver is not in the container",
        "set spec.runtime.driverMounts to hostPath where nodes have no Ascend Docker Runtime; "
        "where they have it, see that it is the node's container runtime and that the driver is "
        "installed under /usr/local/Ascend/driver",
    ),
    Cause(
        "WrongImageVariant",
        r"Current device type: (?:AscendDeviceType\.)?(?P<chip>\w{1,40}+) does not match the "
        r"installed version's device type: (?:AscendDeviceType\.)?(?P<built>\w{1,40}+)",
        "the image is built for {built}, the chip is {chip}",
        "set spec.npu.generation, or spec.runtime.variant, to what the nodes have; with "
        "spec.runtime.image name the image of that variant",
    ),
    Cause(
        "EnvironmentNotSourced",
        r"libatb\.so|libascendcl\.so|libhccl\.so|Failed to infer device type",
        "CANN's environment is missing, which the image's own entry point sources",
        "use an image whose ENTRYPOINT sources CANN's set_env.sh, as vLLM-Ascend's do, and set no "
        "LD_LIBRARY_PATH in spec.runtime.env",
    ),
    Cause(
        "NoDevice",
        r"visible devices \(0\)",
        "the container sees no NPU",
        "see that the device plugin gave the pod its devices (kubectl describe pod), and that "
        "spec.runtime.env sets neither ASCEND_VISIBLE_DEVICES nor ASCEND_RT_VISIBLE_DEVICES",
    ),
    Cause(
        "TooFewDevices",
        r"local_world_size \((?P<wanted>\d{1,12}+)\) must be less than or equal to the number of "
        r"visible devices \((?P<seen>\d{1,12}+)\)",
        "{wanted} NPUs are wanted and {seen} are seen",
        "make spec.npu.count what the parallel sizes in spec.engine ask for, and set no "
        "ASCEND_RT_VISIBLE_DEVICES in spec.runtime.env",
    ),
    Cause(
        "BadDevice",
        r"(?:result = |error code is |error code: ?|ret(?:urn)?[ =:]{1,8}+)107001\b",
        "a device was opened that the container does not have",
        "set no ASCEND_RT_VISIBLE_DEVICES in spec.runtime.env: in the container devices count from "
        "0, whichever cards they are",
    ),
    Cause(
        "DeviceDidNotStart",
        r"(?:result = |error code is |error code: ?|ret(?:urn)?[ =:]{1,8}+)507033\b",
        "an NPU did not start in time",
        "see npu-smi info and dmesg on the node; on HAMi give the pod cards that lie side by side, "
        "or one card",
    ),
    Cause(
        "DeviceHeld",
        r"(?<![\d.])-8005(?!\d)",
        "the NPU is held by another container",
        "see npu-smi info on the node for the process; two containers cannot share a card unless "
        "it is split (vNPU, HAMi)",
    ),
    Cause(
        "PortTaken",
        r"EJ0003|Failed to bind the IP port|The IP address and port have been bound already",
        "the port that HCCL uses between NPUs is taken on the node",
        "another job with several NPUs runs there; set HCCL_IF_BASE_PORT in spec.runtime.env to "
        "another range, such as 50000",
    ),
    Cause(
        "NotRoot",
        r"Hccl\w{0,60}+\(.{0,100}error code is 19\b",
        "HCCL found no user of the container's uid",
        "run the image as root, as vLLM-Ascend's do, or with a uid that /etc/passwd has",
    ),
    Cause(
        "NetworkPortDown",
        r"EJ0002|The network port is down|EI0009|EI0006",
        "the NPUs do not reach each other over their own network",
        "see hccn_tool -i N -link -g on the nodes, and that /etc/hccn.conf is there and mounted",
    ),
    Cause(
        "OutOfStreams",
        r"insufficient available streams|[Ss]tream resources are insufficient|no stream resource|"
        r"New capture stream failed|Alloc sq cq fail|error code is 20700[58]\b",
        "the NPU has too few streams for so many graphs",
        "capture fewer sizes, such as spec.engine.compilationConfig: "
        "{{cudagraph_capture_sizes: [1, 2, 4, 8]}}, lower spec.engine.maxNumSeqs, or set "
        "HCCL_OP_EXPANSION_MODE: AIV in spec.runtime.env; on a card that is split set "
        "spec.engine.enforceEager: true",
    ),
    Cause(
        "ContextTooLong",
        r"max_model_len \((?P<asked>\d{1,12}+)\) is greater than the derived max_model_len "
        r"\(\w{1,60}+=(?P<most>[\d.]{1,20}+)",
        "spec.engine.maxModelLen is {asked}, the model was made for {most}",
        "set spec.engine.maxModelLen to at most {most}",
    ),
    Cause(
        "KVCacheTooSmall",
        r"estimated maximum model length is (?P<most>\d{1,12}+)",
        "the memory that the weights leave holds no sequence of the wanted length",
        "set spec.engine.maxModelLen to at most {most}, raise spec.engine.memoryUtilization, or "
        "give more NPUs (spec.npu.count or spec.nodes)",
    ),
    Cause(
        "KVCacheTooSmall",
        r"No available memory for the cache blocks|"
        r"larger than the available KV cache memory|"
        r"larger than the maximum number of tokens that can be stored in KV cache",
        "the weights leave no memory for the KV cache",
        "lower spec.engine.maxModelLen, raise spec.engine.memoryUtilization, or give more NPUs "
        "(spec.npu.count or spec.nodes)",
    ),
    Cause(
        "OutOfMemory",
        r"(?:NPU|CUDA|HIP) out of memory|torch(?:\.\w{1,40}+){0,6}\.OutOfMemoryError|"
        r"(?:result = |error code is )207001\b|EL0004",
        "an NPU's memory is too small for it",
        "give more NPUs (spec.npu.count or spec.nodes), use a quantized model, or lower "
        "spec.engine.maxNumSeqs, maxNumBatchedTokens or memoryUtilization",
    ),
    Cause(
        "HeadsNotDivisible",
        r"number of attention heads \((?P<heads>\d{1,12}+)\) must be divisible by tensor parallel "
        r"size \((?P<size>\d{1,12}+)\)",
        "{heads} attention heads cannot be split by {size}",
        "set spec.npu.count, or spec.engine.tensorParallelSize, to a divisor of {heads}",
    ),
    Cause(
        "RemoteCodeNotTrusted",
        r"(?:pass|set) the (?:option|argument) `?trust_remote_code=True|"
        r"requires you to execute the (?:configuration|modeling) file|"
        r"contains custom code which must be executed",
        "the model brings code of its own",
        "read that code, then set spec.engine.trustRemoteCode: true",
    ),
    Cause(
        "UnknownArchitecture",
        r"[Mm]odel architectures?+ (?:\S{1,60}+ ){1,8}(?:are|is) not supported|"
        r"does not recognize this architecture|"
        r"has no vLLM implementation and the Transformers implementation is not compatible",
        "this version of vLLM-Ascend does not know the model's architecture",
        "take a newer spec.runtime.version, or another model",
    ),
    Cause(
        "UnknownQuantization",
        r"[Uu]nknown quantization method|"
        r"quantization(?: method)?+ .{0,40} is (?:currently )?+not supported|"
        r"does not match the quantization method specified",
        "the quantization is none that runs on this chip",
        "use weights made by ModelSlim (spec.engine.quantization: ascend) or unquantized ones; FP8 "
        "and NVFP4 are other chips'",
    ),
    Cause(
        "ModelIncomplete",
        r"SafetensorError|Error while deserializing header|InvalidHeaderDeserialization|"
        r"MetadataIncompleteBuffer|Cannot find any model weights|No safetensors weights found",
        "weights are missing or were cut short",
        "see that the model's folder is whole: compare names and sizes with their source, and "
        "fetch what differs again",
    ),
    Cause(
        "ModelNotFound",
        r"Invalid repository ID or local directory specified|does not appear to have a file named|"
        r"Can't load (?:the )?(?:tokenizer|config|image processor)|is not a valid JSON file|"
        r"Couldn't instantiate the backend tokenizer|is not a local folder and is not a valid "
        r"model identifier|Incorrect path_or_model_id|Unrecognized model in",
        "the folder holds no model, or lacks its config.json or tokenizer",
        "see spec.model.source: the folder must hold config.json, the tokenizer and the weights",
    ),
    Cause(
        "AdapterRankTooLarge",
        r"LoRA rank (?P<rank>\d{1,12}+) is greater than max_lora_rank (?P<most>\d{1,12}+)",
        "an adapter of spec.engine.loras has rank {rank}, and ranks to {most} are loaded",
        "give spec.engine.args a --max-lora-rank of {rank} or the next of 8, 16, 32, 64, 128, 256, "
        "320 and 512",
    ),
    Cause(
        "AdapterUnusable",
        r"(?P<what>No adapter found for \S{1,200}+|"
        r"(?<!\S)\S{1,200}+ doesn't contain tensors|"
        r"While loading [^\s,]{1,200}+, expected target modules)",
        "an adapter is none of this model, or its folder lacks files: {what}",
        "see its source in spec.engine.loras: the folder must hold adapter_config.json and "
        "adapter_model.safetensors of an adapter that was trained on this model",
    ),
    Cause(
        "ModelNotReadable",
        r"PermissionError: \[Errno 13\]|: Permission denied",
        "a file may not be read",
        "make the model's folder readable for everybody on its volume",
    ),
    Cause(
        "UnknownOption",
        r"(?:vllm(?: serve)?+|api_server\.py): error: (?P<told>.{1,200}+)",
        "vllm serve refuses an option: {told}",
        "mend spec.engine.args; the options of the image's version count",
    ),
    Cause(
        "LoadTimeout",
        r"Timed out waiting for engine core|VLLM_ENGINE_READY_TIMEOUT_S",
        "the engine did not load within vLLM's own limit (10 minutes unless set otherwise)",
        "set VLLM_ENGINE_READY_TIMEOUT_S in spec.runtime.env to more seconds, or put the model on "
        "faster storage",
    ),
    Cause(
        "SharedMemoryFull",
        r"No space left on device|Bus error",
        "a volume of the pod is full; with several NPUs that is most often /dev/shm",
        "raise spec.runtime.shmSize; if the line names another folder, see that volume",
    ),
    Cause(
        "BadVariable",
        r"invalid literal for int\(\) with base 10: '(?P<value>[Tt]rue|[Ff]alse|yes|no|on|off)'",
        "a variable is {value} where vLLM-Ascend reads a number",
        "write 1 or 0 in spec.runtime.env",
    ),
    Cause(
        "BadLocale",
        r"Can not get running npu info|unsupported locale setting|"
        r"UnicodeDecodeError: 'ascii' codec",
        "npu-smi could not be read for binding CPUs: most often it answers in another language",
        "set LC_ALL: C.UTF-8 in spec.runtime.env, or switch the binding off: "
        "spec.engine.additionalConfig: {{enable_cpu_binding: false}}",
    ),
    Cause(
        "WrongArchitecture",
        r"exec format error",
        "the image is built for another processor than the node's",
        "use an image for the node's architecture (arm64 or amd64)",
    ),
    Cause(
        "NodeMemoryFull",
        r"^OOMKilled$",
        "the container was killed for the node's memory that it took, not the NPU's",
        "raise memory in spec.placement.resources, where it is limited; /dev/shm counts too "
        "(spec.runtime.shmSize)",
    ),
    Cause(
        "TooSlowToStart",
        r"KeyboardInterrupt: terminated",
        "it was ended by the kubelet before it answered",
        "see kubectl describe pod for the probe that failed",
    ),
)
"""The first that fits speaks."""

_COMPILED = [(cause, re.compile(cause.pattern)) for cause in CAUSES]


def diagnose(text: str) -> Diagnosis | None:
    """The cause that a log tells; None where it tells none that is known.

    Args:
        text: The end of a log.
    """
    lines = _lines(text[-_LOG_CHARACTERS:])
    for cause, pattern in _COMPILED:
        for line in lines:
            if (found := pattern.search(line)) is not None:
                groups = {key: _shown(value or "") for key, value in found.groupdict().items()}
                message = f"{cause.meaning}: {cause.remedy}".format(**groups)
                return Diagnosis(cause.reason, message, one_line(line[:_SHOWN_CHARACTERS]))
    return None


def _shown(text: str) -> str:
    """A group of a match: a log cannot add a sentence of advice to ours."""
    return text if _WORD.fullmatch(text) else quoted(text)


def _lines(text: str) -> Sequence[str]:
    lines = [line.strip()[:_LINE_CHARACTERS] for line in text.splitlines() if line.strip()]
    if len(lines) <= _LINES:
        return lines
    return lines[: _LINES // 2] + lines[-(_LINES // 2) :]
