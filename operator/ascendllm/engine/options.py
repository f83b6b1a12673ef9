"""What `vllm serve` accepts: the options of one version, and the judgement of an argument list.

The facts are in `vllm-<version>.json` beside this file, read off that version's own parser.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ascendllm.api.limits import MAX_LEVELS
from ascendllm.engine.gone import GONE
from ascendllm.engine.option import Option
from ascendllm.engine.option_values import BadValueError, convert, is_json, json_or_text
from ascendllm.exceptions import UsageError

__all__ = ["OptionTable", "Problem", "load", "table_for"]

_HINTS = 5
"""Problems that come with a hint; messages show no more."""

_LONGEST_FLAG = 64
"""Characters of an unknown option that is compared with the known ones; these have at most 44."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one element of an argument list.

    Args:
        arg: The element as given.
        message: The element, the rule and the remedy.
    """

    arg: str
    message: str


@dataclass(frozen=True)
class OptionTable:
    """The options of one version of `vllm serve`."""

    version: str
    options: tuple[Option, ...]

    @functools.cached_property
    def by_flag(self) -> Mapping[str, Option]:
        """The option of every spelling, short forms and `--no-` forms included."""
        return {flag: option for option in self.options for flag in option.flags}

    def named(self, flag: str) -> Option | None:
        """The option of a spelling, underscores and keys behind a dot included."""
        return self.by_flag.get(_spelling(flag)[0])

    def values(self, args: Sequence[str]) -> dict[str, Any]:
        """What sound arguments of a resource say, by `dest`; of others nothing.

        Several values of one option are a list, keys behind dots a mapping.
        """
        found: dict[str, Any] = {}
        for arg in args:
            name, has_value, text = arg.partition("=")
            flag, dotted, keys = _spelling(name)
            option = self.by_flag.get(flag)
            if option is None:
                continue
            if not option.takes_value:
                found[option.dest] = flag == option.canonical
            elif dotted:
                nested = found.setdefault(option.dest, {})
                parts = keys.removesuffix("+").split(".")
                if isinstance(nested, dict) and len(parts) <= MAX_LEVELS:
                    _put(nested, parts, json_or_text(text))
            elif has_value:
                with contextlib.suppress(BadValueError):
                    value = convert(option.type, option.optional, text)
                    if option.nargs == "+" or option.kind == "append":
                        found.setdefault(option.dest, []).append(value)
                    else:
                        found[option.dest] = value
        return found

    def problems(
        self, args: Sequence[str], owned: Mapping[str, str], *, other_version: bool = False
    ) -> list[Problem]:
        """Judge the extra arguments of a resource; empty where all are sound.

        An unknown option is reported once, however often it is given. A hint at options of a
        similar name takes a millisecond, so only the first problems come with one.

        Args:
            args: Elements of the form `--option` or `--option=value`.
            owned: Canonical flag to what sets it: a field (`--max-model-len` to
                `spec.engine.maxModelLen`), or a reason that follows "is", such as
                `set by the operator`. Other spellings of the same option count as it.
            other_version: The server is of another version, whose options are not known: only
                what does not depend on them is judged, form and ownership.

        Raises:
            KeyError: `owned` names an option that this version does not have.
        """
        owners = {self.by_flag[flag].dest: field for flag, field in owned.items()}
        seen: dict[str, str] = {}
        unknown: set[str] = set()
        found: list[Problem] = []
        for arg in args:
            flag = _spelling(arg.partition("=")[0])[0]
            if flag in unknown:
                continue
            if flag not in self.by_flag:
                unknown.add(flag)
            hints = len(found) < _HINTS
            message = self._problem(arg, owners, seen, other_version, hints)
            if message is not None:
                found.append(Problem(arg, _clipped(message)))
        return found

    def _problem(
        self,
        arg: str,
        owners: Mapping[str, str],
        seen: dict[str, str],
        other_version: bool,
        hints: bool,
    ) -> str | None:
        name, has_value, value = arg.partition("=")
        flag, dotted, keys = _spelling(name)
        option = self.by_flag.get(flag)
        if option is None or not option.flags:
            taken = other_version and re.fullmatch(r"--[a-zA-Z0-9.+-]+", flag)
            return None if taken else self._unknown(arg, name, flag, hints)
        if option.dest in owners:
            return _owned(arg, option, owners[option.dest])
        if option.kind == "help":
            return f"{arg}: the server would print its help and end: remove it"
        if not arg.startswith("--"):
            rest = f"={value}" if has_value else ""
            return f"{arg}: short forms are not taken here: write {option.canonical}{rest}"
        if option.dest == "config":
            return (
                f"{arg}: vllm ignores the file in this form: "
                "write the file's settings as fields of the resource or as options here"
            )
        if option.dest == "model":
            return f"{arg}: the model is the resource's spec.model: remove the option"
        if other_version:
            return None
        return _value_problem(arg, option, dotted, keys, bool(has_value), value) or _twice(
            arg, option, flag if not dotted else f"{flag}.{keys}", seen
        )

    def _unknown(self, arg: str, name: str, flag: str, hints: bool) -> str:
        head, _, tail = name.partition(" ")
        if tail and _spelling(head)[0] in self.by_flag:
            return f"{arg!r}: one element holds option and value: write {head}={tail}"
        if not name.startswith("--"):
            bare = flag.lstrip("-")
            hint = f" such as --{bare}" if f"--{bare}" in self.by_flag else ""
            return (
                f"{arg!r}: every element must have the form --option or --option=value{hint}; "
                "a value of its own belongs behind the `=` of its option"
            )
        if flag in GONE:
            return f"{arg}: vllm {self.version} has no option {name}: {GONE[flag]}"
        if not hints or len(flag) > _LONGEST_FLAG:
            return f"{arg}: vllm {self.version} has no option {name}; remove it"
        known = [f for option in self.options for f in option.flags if f.startswith("--")]
        near = [f for f in known if f.startswith(flag)][:3] if len(flag) > 4 else []
        near += [
            f for f in difflib.get_close_matches(flag, known, n=3, cutoff=0.7) if f not in near
        ]
        hint = f"; did you mean {' or '.join(near[:3])}?" if near else ""
        return f"{arg}: vllm {self.version} has no option {name}{hint or '; remove it'}"


def _spelling(name: str) -> tuple[str, str, str]:
    """The flag as the parser looks it up, `.` where keys follow, and these keys.

    Underscores before the first dot count as dashes in long options.
    """
    flag, dot, keys = name.partition(".") if name.startswith("-") else (name, "", "")
    return (flag.replace("_", "-") if flag.startswith("--") else flag), dot, keys


def _put(nested: dict[str, Any], keys: Sequence[str], value: object) -> None:
    """Set a value behind keys, whatever stands in between."""
    for key in keys[:-1]:
        inner = nested.get(key)
        if not isinstance(inner, dict):
            inner = nested[key] = {}
        nested = inner
    nested[keys[-1]] = value


def _clipped(message: str) -> str:
    """A message holds the element, however long; what to do stands at the end."""
    return message if len(message) <= 900 else f"{message[:200]} … {message[-600:]}"


def _owned(arg: str, option: Option, owner: str) -> str:
    if owner.startswith("spec."):
        return f"{arg}: {option.canonical} belongs to {owner}: set that instead"
    return f"{arg}: {option.canonical} is {owner}: remove it"


def _value_problem(
    arg: str, option: Option, dotted: str, keys: str, has_value: bool, value: str
) -> str | None:
    if not option.takes_value:
        if dotted or has_value:
            names = " or ".join(f for f in option.flags if f.startswith("--"))
            return f"{arg}: the option takes no value: write {names}"
        return None
    if not has_value:
        if option.nargs == "?":
            return None
        return f"{arg}: a value is missing: write {arg}=VALUE{_wanted(option)}"
    if dotted:
        if not is_json(option.type):
            return f"{arg}: {option.canonical} holds no keys: write {option.canonical}=VALUE"
        parts = keys.removesuffix("+").split(".")
        if len(parts) > MAX_LEVELS:
            return f"{arg}: at most {MAX_LEVELS} keys may follow one another"
        return None if all(parts) else f"{arg}: a key between the dots is empty"
    try:
        converted = convert(option.type, option.optional, value)
    except BadValueError as error:
        return f"{arg}: {error}{_wanted(option)}"
    if option.choices and converted not in option.choices:
        return f"{arg}: {value!r} is none of its values{_wanted(option)}"
    return None


def _wanted(option: Option) -> str:
    if option.choices:
        return f"; it takes one of {', '.join(str(choice) for choice in option.choices)}"
    wanted = {
        "int": "an integer",
        "float": "a number",
        "human-int": "an integer such as 8192 or 8K",
        "human-int-or-auto": "an integer such as 8192 or 8K, or auto",
        "json": "JSON",
        "object": "a JSON object",
        "dict-or-str": "a JSON object or a word",
        "lora": "name=path or a JSON object with name and path",
    }.get(option.type)
    return f"; it takes {wanted}" if wanted else ""


def _twice(arg: str, option: Option, spelled: str, seen: dict[str, str]) -> str | None:
    """Refuse a second value of one option; keys of one JSON option may come one by one."""
    if option.kind == "append":
        return None
    if option.nargs == "+" and option.dest in seen:
        return _one_of_several(arg, option, seen[option.dest])
    key = spelled if "." in spelled else option.dest
    whole = seen.get(option.dest)
    parts = [first for other, first in seen.items() if other.startswith(f"{spelled}.")]
    first = seen.get(key) or (whole if "." in spelled else (parts[0] if parts else None))
    if first is None:
        seen[key] = arg
        return None
    return f"{arg}: given twice, before as {first}: vllm would take only one: remove one"


def _one_of_several(arg: str, option: Option, first: str) -> str | None:
    """Several values come to stand behind one mention, where a dash would begin an option."""
    for element in (first, arg):
        if element.partition("=")[2].startswith("-"):
            return (
                f"{element}: {option.canonical} is given more than once: no value may begin with -"
            )
    return None


def table_for(release: str | None) -> OptionTable | None:
    """The table of the vLLM inside a vLLM-Ascend release; None where its options are not known.

    Args:
        release: Such as `v0.18.0rc1`, which holds vLLM 0.18.0; None for the pinned one.
    """
    if release is None:
        return load()
    found = re.match(r"v?(\d+\.\d+\.\d+)", release)
    try:
        return load(found.group(1)) if found else None
    except UsageError:
        return None


@functools.cache
def load(version: str = "0.18.0") -> OptionTable:
    """The table of a version of vLLM; read once.

    Raises:
        UsageError: There is no table for this version.
    """
    folder = Path(__file__).parent
    path = folder / f"vllm-{version}.json"
    known = sorted(p.stem.removeprefix("vllm-") for p in folder.glob("vllm-*.json"))
    if version not in known:
        raise UsageError(f"no options of vllm {version} are known, only of {', '.join(known)}")
    data = json.loads(path.read_text(encoding="utf-8"))
    return OptionTable(version, tuple(_option(entry) for entry in data["options"]))


def _option(entry: dict[str, Any]) -> Option:
    return Option(
        dest=entry["dest"],
        flags=tuple(entry["flags"]),
        kind=entry["kind"],
        type=entry.get("type", "str"),
        optional=entry.get("optional", False),
        nargs=entry.get("nargs"),
        choices=tuple(entry.get("choices", ())),
        default=entry.get("default"),
    )
