"""Each check of the table, on each server, in order.

After one that got no answer the others are skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

import httpx

from ascendllm.checks.endpoint import Endpoint
from ascendllm.checks.result import Verdict
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.runner import CheckName, Outcome, Tracker
from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import NotApplicableError, WrongError
from ascendllm.checks.smoke.groups.adapters import ask_adapter
from ascendllm.checks.smoke.groups.own_prompts import ask_prompt
from ascendllm.checks.smoke.http import Http
from ascendllm.checks.smoke.patterns import check_pattern
from ascendllm.checks.smoke.prompts import PromptCase
from ascendllm.checks.smoke.replicas import Replica, find_replicas
from ascendllm.checks.smoke.report import Report
from ascendllm.checks.smoke.shapes import Kind
from ascendllm.checks.smoke.table import Check, Group, checks_for
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError

__all__ = ["DUMMY", "SMOKE", "SmokeOptions", "check_smoke"]

SMOKE = CheckName("smoke", protocol_number=2)
DUMMY = CheckName("dummy", protocol_number=1)
SERVERS_AT_ONCE = 4
MOST_CONNECTIONS = 300


@dataclass(frozen=True, slots=True)
class SmokeOptions:
    """Which servers, and what is tried.

    Args:
        endpoint: Their address; a name with several addresses stands for several servers.
        kind: base asks /v1/completions, instruct /v1/chat/completions.
        prompts: The user's own.
        prompts_field: The field or option that the prompts come from, for messages.
        without: The groups of checks that are left out.
        max_num_seqs: How many requests a server computes at once; None where that is not known.
        adapters: LoRA adapters that each server must answer for, by name.
        request_timeout: Seconds for one answer.
        time_limit: Seconds for all of it.
        first_contact: Patience for the first request.
        find: Finds the servers behind the address.
    """

    endpoint: Endpoint
    kind: Kind = "base"
    prompts: Sequence[PromptCase] = ()
    prompts_field: str = "--prompts"
    without: Collection[Group] = ()
    max_num_seqs: int | None = None
    adapters: Sequence[str] = ()
    request_timeout: float = 120.0
    time_limit: float = 1800.0
    first_contact: RetryPolicy = FIRST_CONTACT
    find: Callable[[Endpoint, RetryPolicy], Awaitable[list[Replica]]] = field(default=find_replicas)


async def check_smoke(options: SmokeOptions, tracker: Tracker, _checkpoint: str | None) -> Outcome:
    """The check. A server that can't be asked is an `Error`, one that answers wrongly `Failed`.

    A pattern that does not compile is an `Error` too, before any request is sent.
    """
    report = Report()
    tracker.figures = report.figures
    try:
        async with (
            asyncio.timeout(options.time_limit),
            httpx.AsyncClient(
                timeout=options.request_timeout,
                follow_redirects=False,
                trust_env=False,
                limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
            ) as client,
        ):
            await _check_patterns(options)
            await _all_servers(options, client, tracker, report)
    except TimeoutError:
        report.error = CheckError(
            "TimedOut",
            f"smoke is not finished within {options.time_limit:g} s, at "
            f"{len(report.findings)} findings; the server is too slow to serve",
        )
    except CheckError as error:
        report.error = error
    return report.outcome()


async def _check_patterns(options: SmokeOptions) -> None:
    """Raises CheckError, naming the prompt, for a pattern that does not compile."""
    checked: set[str] = set()
    for index, case in enumerate(options.prompts):
        if case.expect is not None and case.expect not in checked:
            await check_pattern(case.expect, f"{options.prompts_field}[{index}].expect")
            checked.add(case.expect)


async def _all_servers(
    options: SmokeOptions, client: httpx.AsyncClient, tracker: Tracker, report: Report
) -> None:
    replicas = await options.find(options.endpoint, options.first_contact)
    own, others = _steps(options, first=True), _steps(options, first=False)
    tracker.begin(len(own) + len(others) * (len(replicas) - 1))
    if len(replicas) > 1:
        report.facts["replicas"] = len(replicas)
    first, *rest = (_Server(options, client, replica, tracker) for replica in replicas)
    await first.look(own, report)
    report.facts |= first.facts()
    if report.error is not None or not rest:
        return
    gate = asyncio.Semaphore(SERVERS_AT_ONCE)

    async def look(server: _Server) -> Report:
        async with gate:
            found = Report()
            await server.look(others, found)
            return found

    for server, found in zip(rest, await together(look(each) for each in rest), strict=True):
        _merge(report, found, f"server {server.address}")


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    do: Callable[[Context], Awaitable[str | None]]
    gates: bool


def _steps(options: SmokeOptions, *, first: bool) -> list[_Step]:
    """The checks of one server, its adapters, and on the first one the user's prompts."""
    table = checks_for(options.kind, without=options.without, first=first)
    prompts = options.prompts if first else ()
    return [
        *(_of_table(check) for check in table),
        *(
            _Step(f"adapter {name}", partial(_adapter, name=name), gates=True)
            for name in options.adapters
        ),
        *(
            _Step(f"prompt{number}", partial(_prompt, case=case), gates=True)
            for number, case in enumerate(prompts, 1)
        ),
    ]


def _of_table(check: Check) -> _Step:
    return _Step(check.name, check.step, check.gates)


async def _adapter(context: Context, name: str) -> str:
    return await ask_adapter(context, name)


async def _prompt(context: Context, case: PromptCase) -> str:
    return await ask_prompt(context, case)


class _Server:
    """One server behind the address."""

    def __init__(
        self, options: SmokeOptions, client: httpx.AsyncClient, replica: Replica, tracker: Tracker
    ) -> None:
        http = Http(client, replica, options.request_timeout)
        self.address = replica.address
        self._tracker = tracker
        self._context = Context(http, options.kind, options.first_contact, options.max_num_seqs)

    def facts(self) -> dict[str, object]:
        """What the server says of itself."""
        known = {"vllm": self._context.version, "maxModelLen": self._context.max_model_len}
        return {key: value for key, value in known.items() if value is not None}

    async def look(self, steps: Sequence[_Step], report: Report) -> None:
        """Take each step; after one that got no answer the others are skipped."""
        for step in steps:
            if report.error is None:
                await self._take(step, report)
            else:
                report.note(step.name, "Skipped", seen="an earlier check got no answer")
            self._tracker.done += 1

    async def _take(self, step: _Step, report: Report) -> None:
        http = self._context.http
        http.spent = 0.0
        where = f" (server {self.address})" if self.address else ""
        try:
            seen = await step.do(self._context)
            report.note(step.name, "Passed", http.spent, seen=seen)
        except WrongError as wrong:
            result: Verdict = "Failed" if step.gates else "Inconclusive"
            report.note(step.name, result, http.spent, wrong.expected, wrong.seen + where)
        except NotApplicableError as why:
            report.note(step.name, "Skipped", http.spent, seen=str(why))
        except CheckError as error:
            report.note(step.name, "Error", http.spent, "an answer", error.message + where)
            report.error = CheckError(error.reason, f"{step.name}: {error.message}{where}")


def _merge(report: Report, found: Report, name: str) -> None:
    """Add another server's findings: one line for all that passed, and each that did not."""
    passed = [finding for finding in found.findings if finding["result"] == "Passed"]
    seconds = sum(float(str(finding.get("latencyMs", 0))) for finding in passed) / 1000
    if passed:
        report.note(name, "Passed", seconds, seen=f"{len(passed)} checks as expected")
    report.findings += [
        finding | {"name": f"{finding['name']} ({name})"}
        for finding in found.findings
        if finding["result"] not in ("Passed", "Skipped")
    ]
    report.error = report.error or found.error
