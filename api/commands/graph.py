"""`segue cypher` and `segue graph stats`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from api import console
from graph.errors import InvalidInput

LIMIT = 1000


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("cypher")(cypher)
    group = typer.Typer(help="The graph as a whole.", no_args_is_help=True)
    group.command("stats")(stats)
    app.add_typer(group, name="graph")


def cypher(
    query: Annotated[str, typer.Argument(help="Cypher; columns need names (AS).")],
    param: Annotated[
        list[str] | None, typer.Option("--param", help="name=text, or name:=JSON; repeat for more.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Let the query write.")] = False,
    limit: Annotated[int, typer.Option(help="Most rows to show.", min=1, max=1_000_000)] = LIMIT,
    json_: console.Json = False,
) -> None:
    """Ask the graph in Cypher; read-only unless --write."""
    parameters = parse_parameters(param or [])
    settings = console.settings()
    with console.graph_store(settings) as store:
        if write:
            console.warn("a raw write is not in the journal: only `segue refresh --full` sees it")
            table = store.command(query, parameters, limit=limit)
        else:
            table = store.query(query, parameters, limit=limit)
    if json_:
        console.print_json({"columns": table.columns, "rows": table.rows, "truncated": table.truncated})
        return
    console.print_table(table.columns, table.rows)
    if table.truncated:
        console.warn(f"more than {limit} rows: --limit shows more")


def parse_parameters(given: list[str]) -> dict[str, Any]:
    """`name=text` and `name:=JSON` as a dictionary.

    Raises: InvalidInput for one that is neither.
    """
    parameters: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        as_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name.isidentifier():
            raise InvalidInput(f"--param: expected name=text or name:=JSON, got {text!r}")
        try:
            parameters[name] = json.loads(value) if as_json else value
        except ValueError as error:
            raise InvalidInput(f"--param {name}: not JSON ({error})") from error
    return parameters


def stats(json_: console.Json = False) -> None:
    """Count nodes and relationships."""
    settings = console.settings()
    with console.graph_store(settings) as store:
        counts, engine, version = store.counts(), store.engine, store.version
    if json_:
        console.print_json({**counts, "engine": engine, "version": version})
        return
    console.print_table(["label", "nodes"], sorted(counts["labels"].items()), title=f"{engine} {version}")
    console.print_table(["relationship", "count"], sorted(counts["relationships"].items()))
