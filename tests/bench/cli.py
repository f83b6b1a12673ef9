"""Which benchmarks are run, and what is printed of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import (
    bench_client,
    download,
    hostile,
    latency,
    lm_eval,
    machine,
    mmlu,
    node,
    ready,
    render,
    rest,
    start,
)
from bench.figures import Figure, Measured, MeasureError, document, table
from cluster import choice
from cluster.errors import ClusterError

__all__ = ["BENCHMARKS", "main"]

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "latency": latency.measure,
    "start": start.measure,
    "rest": rest.measure,
    "hostile": hostile.measure,
    "mmlu": mmlu.measure,
    "lm-eval": lm_eval.measure,
    "bench": bench_client.measure,
    "render": render.measure,
    "download": download.measure,
    "ready": ready.measure,
    "cluster": node.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns 1 where something could not be measured, else 0."""
    options = _parser().parse_args(arguments)
    measured: list[Measured] = []
    failures: list[str] = []
    for name in options.names or _all():
        load = machine.load()
        print(f"{name} ... (load {load:.1f})", file=sys.stderr, flush=True)
        try:
            measured.append(Measured(name, load, tuple(BENCHMARKS[name]())))
        except (MeasureError, ClusterError) as error:
            failures.append(f"{name}: {error}")
        except Exception as error:  # one that fails must not cost the figures of the others
            traceback.print_exc()
            failures.append(f"{name}: {type(error).__name__}: {error}")
    facts = machine.describe()
    if measured:
        print(table(measured))
        print(f"\n{facts['cores']} cores, {facts['processor']}; {facts['system']}; ", end="")
        print(f"Python {facts['python']}")
    if options.json:
        text = json.dumps(document(measured, facts), indent=2, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    for failure in failures:
        print(f"not measured: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _all() -> list[str]:
    left_out: dict[str, str] = {}
    if os.geteuid() != 0:
        left_out["cluster"] = "a bare one needs root"
    if choice.current() is None:
        left_out["ready"] = "no cluster is up"
    for name, why in left_out.items():
        print(f"{name}: left out, {why}", file=sys.stderr)
    return [name for name in BENCHMARKS if name not in left_out]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python tests/bench",
        description="Measure speed and size, and show them beside their limits.",
        epilog="Load is the machine's over the minute before: more than its cores means that "
        "others used them too, and the figures are worse than the product.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        type=_name,
        help=f"{', '.join(BENCHMARKS)}; none: all of them",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


def _name(text: str) -> str:
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(BENCHMARKS)}")
    return text
