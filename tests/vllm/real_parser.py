"""What `vllm serve`'s own parser has and does; run by the Python of vLLM's environment.

Reads `[[ARGUMENT, …], …]`, each without `vllm serve`, as JSON from standard input; writes
`{"options": […], "parsed": [{"values"} | {"error"}, …]}`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from typing import Any

from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.entrypoints.openai.models.protocol import LoRAModulePath
from vllm.utils.argparse_utils import FlexibleArgumentParser

_PLAIN = (str, int, float, bool, type(None))


def main() -> None:
    """Answer one question."""
    top = FlexibleArgumentParser(description="vLLM CLI")
    command = ServeSubcommand()
    serve = command.subparser_init(top.add_subparsers(dest="subparser"))
    serve.set_defaults(dispatch_function=command.cmd)
    options = [_option(action) for action in serve._actions]
    parsed = [_parse(top, arguments) for arguments in json.load(sys.stdin)]
    json.dump({"options": options, "parsed": parsed}, sys.stdout)


def _option(action: argparse.Action) -> dict[str, Any]:
    default = action.default
    return {
        "dest": action.dest,
        "flags": action.option_strings,
        "kind": type(action).__name__,
        "nargs": action.nargs,
        "choices": None if action.choices is None else [str(choice) for choice in action.choices],
        "default": default if isinstance(default, _PLAIN) else None,
    }


def _parse(parser: argparse.ArgumentParser, arguments: list[str]) -> dict[str, Any]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            found = parser.parse_args(["serve", *arguments])
    except SystemExit:
        return {"error": said.getvalue().strip().rpartition("error: ")[2]}
    except ValueError as error:
        return {"error": str(error)}
    values = json.dumps(vars(found), default=_plain)
    return {"values": json.loads(values)}


def _plain(value: object) -> dict[str, str] | None:
    """Adapters by name and path; other objects of vLLM's are not compared."""
    if isinstance(value, LoRAModulePath):
        return {"name": value.name, "path": value.path}
    return None


if __name__ == "__main__":
    main()
