"""`segue evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api import console
from graph.errors import InvalidInput

if TYPE_CHECKING:
    from graph.batch import Batch


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(evaluate)


def evaluate(
    model: Annotated[str, typer.Argument(help="popularity, item-knn, song2vec, cascade, or any other channel.")],
    data: Annotated[str, typer.Option("--data", help="FORMAT:PATH")],
    protocol: Annotated[str, typer.Option("--protocol", help="given, leave-one-out, ratio or temporal.")],
    k: Annotated[str, typer.Option("-k", help="List lengths, such as 10,20.")] = "10",
    seed: Annotated[int, typer.Option(help="Of the split and the model.", min=0, max=2**31 - 1)] = 0,
    side: Annotated[list[str] | None, typer.Option("--side", help="FORMAT:PATH to join; repeat for more.")] = None,
    maps: Annotated[Path | None, typer.Option("--maps", help="Folder of user_map*.tsv and item_map*.tsv.")] = None,
    negatives: Annotated[Path | None, typer.Option("--negatives", help="A listener and its items a line.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of the model; repeat for more.")] = None,
    json_: console.Json = False,
) -> None:
    """Measure a model on a data set by a protocol, ranking all items."""
    from graph.batch import Batch
    from graph.importers.base import existing_file, read_lists
    from ranking.evaluation import evaluate as run
    from ranking.evaluation import model_names, prepare, with_negatives

    if model not in model_names():
        raise InvalidInput(f"unknown model {model!r} (known: {', '.join(model_names())})")
    ks, options = parse_ks(k), parse_options(set_ or [])
    with console.progress() as progress:
        cut = prepare(read_data(data, protocol, progress), protocol, seed, sides=side or (), maps=maps)
        if negatives is not None:
            lists = read_lists(existing_file(negatives, "a listener and its items a line"), Batch("negatives"))
            cut = with_negatives(cut, lists)
        report = run(model, cut, ks=ks, seed=seed, options=options, progress=progress)
    answer = {"model": model, "data": data, "protocol": protocol, **report}
    if json_:
        console.print_json(answer)
        return
    rows = list(answer["metrics"].items())
    title = f"{model} on {data}, {protocol}: {answer['users']} listeners, {answer['items']} items"
    console.print_table(["metric", "value"], rows, title=title)
    console.say(f"fit {answer['seconds']['fit']} s, score {answer['seconds']['score']} s")


def read_data(data: str, protocol: str, progress: Any) -> Batch:
    """Read FORMAT:PATH with its importer; for `given` its splits, in a column `split` of the events.

    Raises: InvalidInput.
    """
    import importlib

    import polars as pl

    from graph.batch import Batch
    from graph.importers.base import importer, open_importer

    format_, colon, path = data.partition(":")
    if not colon or not path:
        raise InvalidInput(f"--data: expected FORMAT:PATH, got {data!r}")
    module = importlib.import_module(importer(format_).__module__)
    if protocol != "given":
        return open_importer(format_, Path(path)).read(progress)
    if not hasattr(module, "read_splits"):
        raise InvalidInput(f"protocol given: format {format_} comes without a split")
    splits = module.read_splits(Path(path))
    batch = Batch(format_)
    empty = batch.events
    frames = [f.with_columns(split=pl.lit(name), action=pl.lit("play"), count=1) for name, f in splits.items()]
    batch.events = pl.concat([empty, *frames], how="diagonal_relaxed")
    return batch


def parse_ks(text: str) -> tuple[int, ...]:
    """`10,20` as numbers.

    Raises: InvalidInput.
    """
    try:
        ks = tuple(int(part) for part in text.split(","))
    except ValueError:
        ks = ()
    if not ks or min(ks) < 1 or max(ks) > 10_000:
        raise InvalidInput(f"-k: expected numbers from 1 to 10000 such as 10,20, got {text!r}")
    return ks


def parse_options(given: list[str]) -> dict[str, Any]:
    """`key=value` texts, values as JSON where they are JSON.

    Raises: InvalidInput.
    """
    options: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidInput(f"--set: expected key=value, got {text!r}")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options
