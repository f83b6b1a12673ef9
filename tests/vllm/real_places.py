"""What place the real vLLM gives a process of several; run by the Python of vLLM's environment.

Reads `[[ARGUMENT, …], …]`, each without `vllm serve`, as JSON from standard input; writes a list of
`{"places"} | {"error"}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser

_SHOWN = (
    "world_size",
    "local_world_size",
    "node_rank_within_dp",
    "nnodes_within_dp",
    "data_parallel_size",
    "data_parallel_size_local",
    "data_parallel_rank",
    "data_parallel_master_ip",
    "data_parallel_external_lb",
    "data_parallel_hybrid_lb",
    "master_addr",
    "distributed_executor_backend",
)


def main() -> None:
    """Answer one question."""
    top = FlexibleArgumentParser(description="vLLM CLI")
    command = ServeSubcommand()
    command.subparser_init(top.add_subparsers(dest="subparser"))
    found = [_place(top, arguments) for arguments in json.load(sys.stdin)]
    print("\n" + json.dumps(found))


def _place(parser: FlexibleArgumentParser, arguments: list[str]) -> dict[str, Any]:
    given = parser.parse_args(["serve", *arguments])
    # As ServeSubcommand.cmd does: the model may stand without its option.
    given.model = given.model_tag
    try:
        engine = AsyncEngineArgs.from_cli_args(given)
        config = engine.create_engine_config(
            UsageContext.OPENAI_API_SERVER, headless=given.headless
        )
    except (AssertionError, ValueError) as error:
        return {"error": str(error)}
    parallel = config.parallel_config
    return {"places": {name: getattr(parallel, name) for name in _SHOWN}}


if __name__ == "__main__":
    main()
