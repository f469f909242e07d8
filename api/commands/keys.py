"""`segue keys …`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from api import console
from graph.errors import InvalidInput

_ALL: Final = "read, events, catalogue, operate"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Keys of the REST service.", no_args_is_help=True)
    group.callback()(lambda: None)  # a group of one command is a group still
    group.command()(new)
    app.add_typer(group, name="keys")


def new(
    role: Annotated[list[str], typer.Option("--role", help=f"What it may do: {_ALL}; repeat for more.")],
    name: Annotated[str, typer.Option("--name", help="What the log calls it.")] = "",
    json_: console.Json = False,
) -> None:
    """Make a key. It is shown this once; the settings hold its hash."""
    from api.keys import entry, new_key

    key = new_key()
    held = entry(name or "-".join(role), _roles(role), key)
    _check(held)
    if json_:
        console.print_json({"key": key, "entry": held, "toml": _toml(held)})
        return
    console.say(f"key, shown this once: {key}")
    console.say(f"for the list `keys` of [api] in the settings:\n{_toml(held)}")


def _roles(given: list[str]) -> list[Any]:
    """The roles, each once.

    Raises: InvalidInput for an unknown one.
    """
    from api.keys import ROLES

    if unknown := [role for role in given if role not in ROLES]:
        raise InvalidInput(f"unknown role {unknown[0]!r} (known: {', '.join(ROLES)})")
    return list(dict.fromkeys(given))


def _check(held: dict[str, Any]) -> None:
    """Refuse what the settings would refuse.

    Raises: InvalidInput.
    """
    from pydantic import ValidationError

    from api.settings import KeySettings

    try:
        KeySettings(**held)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"{first['loc'][0]}: {first['msg']} (got {held['name']!r})") from error


def _toml(held: dict[str, Any]) -> str:
    roles = ", ".join(f'"{role}"' for role in held["roles"])
    return f'{{ name = "{held["name"]}", roles = [{roles}], sha256 = "{held["sha256"]}" }},'
