"""What a crashed server's log is taken for, and how far a loading one is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest
import yaml

from ascendllm.state import diagnosis, loading
from ascendllm.state.diagnosis import CAUSES, diagnose
from ascendllm.state.loading import loading_stage
from ascendllm_simulator.behaviour import CRASHES

REPOSITORY = Path(__file__).resolve().parents[3]
PREFIX = "(EngineCore pid=300) ERROR 11-29 01:00:00 [core.py:1132] "

LOGS = [
    (CRASHES["noFreeMemory"], "OrphanedMemory", "10.21 of 60.96 GiB"),
    (CRASHES["noDriver"], "NoDriver", "spec.runtime.driverMounts"),
    (CRASHES["wrongImage"], "WrongImageVariant", "built for A2, the chip is A3"),
    ("ImportError: libatb.so: cannot open shared object file", "EnvironmentNotSourced", "set_env"),
    ("RuntimeError: Failed to infer device type", "EnvironmentNotSourced", "ENTRYPOINT"),
    (CRASHES["noDevice"], "NoDevice", "device plugin"),
    (
        "AssertionError: local_world_size (8) must be less than or equal to the number of visible "
        "devices (4).",
        "TooFewDevices",
        "8 NPUs are wanted and 4 are seen",
    ),
    (CRASHES["badDevice"], "BadDevice", "ASCEND_RT_VISIBLE_DEVICES"),
    ("[Error]: open device 1 failed, runtime result = 507033.", "DeviceDidNotStart", "HAMi"),
    ("dcmi module initialize failed. ret is -8005", "DeviceHeld", "npu-smi info"),
    ("EJ0003: [PID: 1] Failed to bind the IP port. Reason: bound already", "PortTaken", "HCCL_IF"),
    ("RuntimeError: HcclGetRootInfo(&hcclID), error code is 19", "NotRoot", "root"),
    ("RuntimeError: EJ0002: [PID: 38079] The network port is down.", "NetworkPortDown", "hccn"),
    (
        "Insufficient_Stream_Resources(EL0009): The stream resources are insufficient.",
        "OutOfStreams",
        "{cudagraph_capture_sizes: [1, 2, 4, 8]}",
    ),
    (
        "AclmdlRICaptureBegin(capture_stream_, capture_mode), error code is 207005",
        "OutOfStreams",
        "enforceEager",
    ),
    (
        "ValueError: User-specified max_model_len (16384) is greater than the derived "
        "max_model_len (max_position_embeddings=8192 or model_max_length=None in model's "
        "config.json).",
        "ContextTooLong",
        "to at most 8192",
    ),
    (CRASHES["kvCacheTooSmall"], "KVCacheTooSmall", "at most 78080"),
    (
        "ValueError: No available memory for the cache blocks. Try increasing "
        "`gpu_memory_utilization` when initializing the engine.",
        "KVCacheTooSmall",
        "spec.engine.memoryUtilization",
    ),
    (CRASHES["outOfMemory"], "OutOfMemory", "spec.npu.count"),
    (
        "ValueError: Total number of attention heads (32) must be divisible by tensor parallel "
        "size (3).",
        "HeadsNotDivisible",
        "divisor of 32",
    ),
    (
        "ValueError: The repository /models/m contains custom code which must be executed to "
        "correctly load the model. Please pass the argument `trust_remote_code=True`",
        "RemoteCodeNotTrusted",
        "spec.engine.trustRemoteCode: true",
    ),
    (
        "ValueError: Model architectures ['Llama9ForCausalLM'] are not supported for now.",
        "UnknownArchitecture",
        "spec.runtime.version",
    ),
    (
        "ValueError: The checkpoint you are trying to load has model type `x` but Transformers "
        "does not recognize this architecture.",
        "UnknownArchitecture",
        "version",
    ),
    ("ValueError: Unknown quantization method: fp5.", "UnknownQuantization", "ModelSlim"),
    (
        "SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
        "ModelIncomplete",
        "sizes",
    ),
    (
        "OSError: Invalid repository ID or local directory specified: '/models/m'.",
        "ModelNotFound",
        "spec.model.source",
    ),
    (
        "OSError: /models/m does not appear to have a file named config.json.",
        "ModelNotFound",
        "config.json",
    ),
    (
        "ValueError: LoRA rank 64 is greater than max_lora_rank 16.",
        "AdapterRankTooLarge",
        "--max-lora-rank of 64",
    ),
    (
        "ValueError: Loading lora legal failed: No adapter found for /loras/legal",
        "AdapterUnusable",
        "/loras/legal",
    ),
    ("ValueError: /loras/legal doesn't contain tensors", "AdapterUnusable", "/loras/legal"),
    (
        "ValueError: While loading /loras/legal, expected target modules in {'qkv_proj'} but "
        "received ['query_key_value']. Please verify that the loaded LoRA module is correct",
        "AdapterUnusable",
        "trained on this model",
    ),
    (
        "PermissionError: [Errno 13] Permission denied: '/models/m/config.json'",
        "ModelNotReadable",
        "readable",
    ),
    ("vllm: error: unrecognized arguments: --max-modle-len", "UnknownOption", "--max-modle-len"),
    (
        "TimeoutError: Timed out waiting for engine core processes to start.",
        "LoadTimeout",
        "VLLM_ENGINE_READY_TIMEOUT_S",
    ),
    ("OSError: [Errno 28] No space left on device", "SharedMemoryFull", "spec.runtime.shmSize"),
    ("ValueError: invalid literal for int() with base 10: 'true'", "BadVariable", "1 or 0"),
    ("RuntimeError: Can not get running npu info.", "BadLocale", "LC_ALL"),
    ("exec /usr/bin/vllm: exec format error", "WrongArchitecture", "arm64"),
    ("OOMKilled", "NodeMemoryFull", "spec.placement.resources"),
]


@pytest.mark.parametrize(("line", "reason", "told"), LOGS, ids=[row[1] for row in LOGS])
def test_a_cause_is_known_by_its_line(line: str, reason: str, told: str) -> None:
    after = "RuntimeError: Engine core initialization failed. See root cause above."
    text = line if line == "OOMKilled" else PREFIX + line
    found = diagnose(f"INFO something else\n{text}\n{after}\n")
    assert found is not None
    assert found.reason == reason
    assert told in found.message
    assert line[:40] in found.line


def test_every_cause_has_a_line_here() -> None:
    told = {reason for _, reason, _ in LOGS} | {"TooSlowToStart"}
    assert {cause.reason for cause in CAUSES} == told


def test_every_field_that_a_remedy_names_is_there() -> None:
    crd = yaml.safe_load((REPOSITORY / "crds" / "ascendllms.yaml").read_text(encoding="utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    named = {
        field
        for cause in CAUSES
        for field in re.findall(r"\bspec\.[a-zA-Z.]+[a-zA-Z]", f"{cause.remedy} {cause.meaning}")
    }
    assert len(named) > 10
    for field in sorted(named):
        there = schema
        for name in field.split("."):
            assert name in there.get("properties", {}), field
            there = there["properties"][name]


def test_a_log_of_a_good_start_tells_no_cause() -> None:
    """vLLM prints its options, and what it would use, in every log."""
    good = """
INFO 11-29 [utils.py:233] non-default args: {'model_tag': '/models/m', 'trust_remote_code': True}
INFO 11-29 [core.py:103] Initializing a V1 LLM engine (v0.18.0) with config: model='/models/m', \
trust_remote_code=True, dtype=torch.bfloat16, max_seq_len=4096, enforce_eager=False, seed=107001
INFO 11-29 [platform.py:1] compilation_config cudagraph_capture_sizes [1, 2, 4], pid 507033
INFO 11-29 [worker.py:358] Available KV cache memory: 30.11 GiB
RuntimeError: Engine core initialization failed. See root cause above.
"""
    assert diagnose(good) is None
    assert diagnose("") is None


# Work: a search is tried from each character of a line, so the work is linear in a log's length
# where what one try can cost is bounded.

_MOST_STEPS = 2000
_PATTERNS = [
    *((cause.reason, cause.pattern) for cause in CAUSES),
    *((reason, pattern) for reason, pattern, _ in loading._STEPS),
]


def cost(pattern: Iterable[tuple[Any, Any]]) -> tuple[float, float]:
    """The most ways in which a parsed pattern matches from one place, and the steps to try all."""
    ways, steps = 1.0, 0.0
    for operation, argument in pattern:
        more_ways, more_steps = _cost_of(str(operation), argument)
        steps += ways * more_steps
        ways *= more_ways
    return ways, steps


def _cost_of(operation: str, argument: Any) -> tuple[float, float]:
    match operation:
        case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN" | "AT":
            return 1, 1
        case "SUBPATTERN":
            return cost(argument[-1])
        case "BRANCH":
            branches = [cost(branch) for branch in argument[1]]
            return sum(ways for ways, _ in branches), sum(steps for _, steps in branches)
        case "ASSERT" | "ASSERT_NOT":
            return 1, cost(argument[1])[1]
        case "ATOMIC_GROUP":
            return 1, cost(argument)[1]
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = argument
            if most == _parser.MAXREPEAT:
                return math.inf, math.inf
            ways, steps = cost(body)
            if operation == "POSSESSIVE_REPEAT":
                return 1, (most + 1) * steps
            counts = [ways**times for times in range(most + 1)]
            return sum(counts[least:]), sum(counts) * steps
    raise AssertionError(f"{operation} in a pattern of a log: its cost is not known here")


@pytest.mark.parametrize(("reason", "pattern"), _PATTERNS, ids=[row[0] for row in _PATTERNS])
def test_a_pattern_costs_little_from_any_place_of_a_line(reason: str, pattern: str) -> None:
    assert cost(_parser.parse(pattern))[1] <= _MOST_STEPS, reason


@pytest.mark.parametrize(
    "pattern",
    [
        r"torch(?:\.\w+)*\.OutOfMemoryError",
        r"Hccl\w*\(.*error code is 19\b",
        r"Loading .{0,40}checkpoint .{0,40}shards",
        r"(?:a{1,4}){1,8}b",
    ],
)
def test_a_pattern_that_costs_much_is_noticed(pattern: str) -> None:
    assert cost(_parser.parse(pattern))[1] > _MOST_STEPS


def test_of_a_long_log_its_beginning_and_its_end_are_read() -> None:
    cause, half = CRASHES["noDevice"], diagnosis._LINES // 2
    assert diagnose("\n".join([*["x"] * (half - 1), cause, *["x"] * 200_000])) is not None
    assert diagnose("\n".join([*["x"] * 200_000, cause, *["x"] * (half - 1)])) is not None
    assert diagnose("\n".join([*["x"] * half, cause, *["x"] * 2000])) is None
    assert diagnose("\n \n".join([*["x"] * (half + 10), cause, *["x"] * 400])) is not None


def test_of_a_long_log_of_a_loading_server_the_end_is_read() -> None:
    telling, most = "Starting to load model x", loading._LINES
    assert loading_stage("\n".join([telling, *["x"] * (most - 1)])) is not None
    assert loading_stage("\n".join([telling, *["x"] * most])) is None


def test_a_line_made_to_be_searched_for_ever_is_none() -> None:
    """Searched whole, each beginning to the end, the first would take minutes."""
    assert diagnose("Hccl(" * 100_000) is None
    assert loading_stage("Loading " * 8_000) is None


def test_what_comes_first_causes_what_comes_after() -> None:
    text = CRASHES["noDevice"] + "\n" + CRASHES["noDriver"]
    found = diagnose(text)
    assert found is not None
    assert found.reason == "NoDriver"


@pytest.mark.parametrize(
    ("line", "reason", "told"),
    [
        ("[model_runner_v1.py:2565] Starting to load model /models/m...", "Loading", "weights"),
        (
            "Loading safetensors checkpoint shards:  62% Completed | 10/16 [00:06<00:04]",
            "Loading",
            "10 of 16 files (62 %)",
        ),
        ("[default_loader.py:384] Loading weights took 9.93 seconds", "WarmingUp", "are loaded"),
        ("[worker.py:358] Available KV cache memory: 30.11 GiB", "WarmingUp", "memory"),
        ("[worker.py:463] Compile and warming up model for size 2048", "WarmingUp", "2048"),
        (
            "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  27%|██▋    | 3/11 [00:01]",
            "GraphCapture",
            "3 of 11",
        ),
        (
            "Starting to capture ACL graphs for cases: [2], mode: PIECEWISE",
            "GraphCapture",
            "capturing graphs",
        ),
        ("Graph capturing finished in 8 secs, took 0.31 GiB", "WarmingUp", "captured"),
        ("INFO:     Application startup complete.", "WarmingUp", "first completion"),
    ],
)
def test_the_last_telling_line_is_the_stage(line: str, reason: str, told: str) -> None:
    text = f"Starting to load model x\r\n{line}\rsomething that tells nothing\n"
    found = loading_stage(text)
    assert found is not None
    assert (found.reason, told in found.message) == (reason, True), found


def test_a_log_that_tells_nothing_is_no_stage() -> None:
    assert loading_stage("") is None
    assert loading_stage("hello\nworld") is None
