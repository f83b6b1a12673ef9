"""`--data-endpoint` and `--data-region`, for the checks that read data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["data_options"]

F = TypeVar("F", bound=Callable[..., Any])


def data_options(function: F) -> F:
    """Give a command the options beside `--data s3://…`; they are for `--reference` as well."""
    region = click.option(
        "--data-region", metavar="NAME", help="The region that an s3:// address is in."
    )
    endpoint = click.option(
        "--data-endpoint",
        metavar="URL",
        help="The server of an s3:// address (OBS, MinIO); keys come from AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Unset: Amazon's.",
    )
    return endpoint(region(function))
