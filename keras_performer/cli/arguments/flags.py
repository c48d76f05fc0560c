"""Flags of a command made from the fields of a dataclass."""

import argparse
import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class HelpFormatter(argparse.HelpFormatter):
    """Shows the default of a flag that has one, and an example as it is typed."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example: "):
            return indent + text
        return super()._fill_text(text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.default in (None, argparse.SUPPRESS) or not action.option_strings:
            return text
        return f"{text} (default: %(default)s)"


def add_json_flag(parser: argparse._ActionsContainer, what: str) -> None:
    """Adds `--json`, with which a command writes JSON alone to standard output.

    Args:
        parser: An `argparse` parser or group.
        what: What it writes, such as "one document".
    """
    parser.add_argument(
        "--json",
        action="store_true",
        help=f"write {what} to standard output, and messages to standard error",
    )


def add_flags(
    parser: argparse._ActionsContainer,
    options: Any,
    helps: Mapping[str, str],
) -> None:
    """Adds a flag for each field that has a help text.

    Args:
        parser: An `argparse` parser or group.
        options: The dataclass.
        helps: Dictionary from field name to help text.
    """
    for field in dataclasses.fields(options):
        if field.name not in helps:
            continue
        kind = _type(field.type)
        switch: dict[str, Any] = {"nargs": "?", "const": True} if kind is _truth else {}
        parser.add_argument(
            f"--{field.name}",
            type=kind,
            default=field.default,
            help=helps[field.name],
            **switch,
        )


def values_of(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Returns the dictionary of what the flags of these names were given."""
    return {name: getattr(arguments, name) for name in names}


def _type(annotation: Any) -> Callable[[str], Any]:
    if isinstance(annotation, types.UnionType):
        annotation = next(t for t in annotation.__args__ if t is not type(None))
    return _truth if annotation is bool else annotation


def _truth(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return known[text.lower()]
