"""What the commands of `ascendllm validate` share: options, the run itself, what is printed."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click

from ascendllm.checks.endpoint import Endpoint, parse_endpoint
from ascendllm.checks.progress import StderrProgress
from ascendllm.checks.result import CheckResult, one_line, readable_json
from ascendllm.checks.runner import Body, CheckName, run_check
from ascendllm.checks.sinks import ReportFile, Sink
from ascendllm.exceptions import SpecError
from ascendllm.report.table import aligned

__all__ = [
    "FILE",
    "MOST_IN_FLIGHT",
    "Common",
    "NumberRange",
    "common_options",
    "kind_option",
    "percent_points",
    "run",
]

F = TypeVar("F", bound=Callable[..., Any])


class NumberRange(click.FloatRange):
    """A number in a range; NaN, which click takes to be in every range, is none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | int:
        """As click does it, NaN aside."""
        number: float | int = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


MOST_IN_FLIGHT = 4096


def percent_points(ctx: click.Context, param: click.Parameter, value: str | None) -> Decimal | None:
    """A decimal number from 0 to 100, kept as it was written."""
    if value is None:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and 0 <= number <= 100):
        raise click.BadParameter(f"{value!r} is not a number from 0 to 100 (percent points).")
    return number


@dataclass(frozen=True, slots=True)
class Common:
    """The options that every check has."""

    endpoint: Endpoint
    timeout: float
    run_configmap: str | None
    output: Path | None
    format: Literal["json", "table"]


FILE = click.Path(dir_okay=False, path_type=Path)
COMMON = (
    click.option("--base-url", required=True, help="The server, with or without /v1."),
    click.option("--model", required=True, help="The served name, to the letter."),
    click.option("--api-key-file", type=FILE, help="A file that holds the server's API key."),
    click.option(
        "--timeout",
        type=NumberRange(1, 7 * 86400),
        default=21600,
        show_default=True,
        help="Seconds for the whole check.",
    ),
    click.option("--output", type=FILE, help="Write the full report there, JSON."),
    click.option(
        "--run-configmap",
        metavar="NAME",
        help="In a pod: checkpoint, progress and result go to this ConfigMap of its namespace.",
    ),
    click.option(
        "-o",
        "form",
        type=click.Choice(["json", "table"]),
        default="json",
        show_default=True,
        help="What stdout gets.",
    ),
)


def common_options(function: F) -> F:
    """Give a command the options that every check has; they arrive as `common`."""

    def with_common(**values: Any) -> None:
        try:
            endpoint = parse_endpoint(
                values.pop("base_url"), values.pop("model"), values.pop("api_key_file")
            )
        except SpecError as error:
            raise click.UsageError(error.message) from None
        common = Common(
            endpoint,
            values.pop("timeout"),
            values.pop("run_configmap"),
            values.pop("output"),
            values.pop("form"),
        )
        function(common=common, **values)

    with_common.__name__ = function.__name__
    with_common.__doc__ = function.__doc__
    decorated: Any = with_common
    for option in reversed(COMMON):
        decorated = option(decorated)
    decorated.__click_params__ = getattr(function, "__click_params__", []) + (
        decorated.__click_params__
    )
    return cast(F, decorated)


def kind_option(function: F) -> F:
    """`--kind`, for the checks whose API depends on it."""
    return click.option(
        "--kind",
        type=click.Choice(["base", "instruct"]),
        default="base",
        show_default=True,
        help="Which API is asked: base models complete, instruct models chat.",
    )(function)


def run(check: CheckName, body: Body, common: Common, sinks: list[Sink] | None = None) -> None:
    """Run the check, print its result, and exit."""
    places = [StderrProgress(check.name), *(sinks or [])]
    if common.output:
        places.append(ReportFile(common.output))
    if common.run_configmap:
        places.append(_run_configmap(common.run_configmap))
    ending = asyncio.run(run_check(check, body, places, common.timeout))
    if ending.result is not None:
        print(_table(ending.result) if common.format == "table" else _json(ending.result))
    sys.exit(ending.exit_code)


def _run_configmap(name: str) -> Sink:
    from ascendllm.checks.run_configmap import RunConfigMap, in_cluster

    try:
        return RunConfigMap(name, in_cluster())
    except SpecError as error:
        raise click.UsageError(error.message) from None


def _json(result: CheckResult) -> str:
    return readable_json(result.to_json())


def _table(result: CheckResult) -> str:
    """Key and value by line; lists of objects as columns below."""
    data = result.to_json()
    plain = {k: v for k, v in data.items() if not isinstance(v, dict | list)}
    width = max(len(key) for key in data)
    lines = [f"{key:<{width}}  {_shown(value)}" for key, value in plain.items()]
    for key, value in data.items():
        if isinstance(value, list):
            lines += ["", key, _rows(value)]
        elif isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
            lines += ["", key, _rows([{"": name} | item for name, item in value.items()])]
        elif isinstance(value, dict):
            lines += ["", key, _rows([{"": name, " ": item} for name, item in value.items()])]
    return "\n".join(lines)


def _rows(items: list[Any]) -> str:
    """Objects as aligned columns under their keys, other items one a line."""
    keys = list(dict.fromkeys(key for item in items if isinstance(item, dict) for key in item))
    if not keys:
        return "\n".join(f"  {_shown(item)}" for item in items)
    cells = [[_shown(item.get(key)) for key in keys] for item in items if isinstance(item, dict)]
    head = [keys] if any(key.strip() for key in keys) else []
    return "\n".join(f"  {line}" for line in aligned([*head, *cells], "  ").splitlines())


def _shown(value: object) -> str:
    """A value on one line, without what would steer a terminal."""
    return one_line("" if value is None else str(value))
