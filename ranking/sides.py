"""Side sources for an evaluation: friends, tags, play counts and triples joined to a split through two maps.

What must not leak: plays are read for training pairs only; tag assignments of held-out pairs are never read (those of
any other pair are: they say what an item is, and nothing of what is held out), nor those of people who are not in the
map, of whom nobody can say what is held out; a side source adds no listener and no
item; and because being in a map at all tells of held-out pairs where an item has few listeners, attributes are joined
only to items with at least `MIN_LISTENERS` training listeners.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Final

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.base import importer

MIN_LISTENERS: Final = 3


def read_map(folder: Path, kind: str) -> pl.DataFrame:
    """`FOLDER/user_map*.tsv` or `item_map*.tsv`: `own` (this data set's id) and `other` (the side source's).

    Raises: InvalidInput if there is not exactly one, or it is not two columns under a header.
    """
    found = sorted(folder.glob(f"{kind}_map*.tsv"))
    if len(found) != 1:
        raise InvalidInput(f"{folder}: expected one {kind}_map*.tsv, found {len(found)}")
    try:
        frame = pl.read_csv(found[0], separator="\t", infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InvalidInput(f"{found[0]}: {error}") from error
    if frame.width != 2:
        raise InvalidInput(f"{found[0]}: expected two columns, got {frame.width}")
    return frame.rename(dict(zip(frame.columns, ("own", "other"), strict=True))).unique("other", keep="first")


def join_side(batch: Batch, train: pl.DataFrame, held: pl.DataFrame, source: str, maps: Path) -> None:
    """Add to `batch` what FORMAT:PATH `source` tells about its listeners and items.

    `train`: the pairs (`user_id`, `song_id`) that a model may see; play counts of those become their `count`. `held`:
    the pairs held out; tags that the listener gave the item are left out.
    Raises: InvalidInput for a source or map that cannot be read.
    """
    format_, colon, path = source.partition(":")
    if not colon or not path:
        raise InvalidInput(f"--side: expected FORMAT:PATH, got {source!r}")
    users, items = read_map(maps, "user"), read_map(maps, "item")
    pairs = train.select("user_id", "song_id").unique()
    kind = importer(format_)
    takes_pairs = "only" in inspect.signature(kind).parameters
    limits: dict[str, Any] = {}
    if takes_pairs:
        limits = {
            "only": _theirs(pairs, users, items),
            "without": _theirs(held, users, items),
            "people": users["other"],
        }
    side: Batch = kind(Path(path), **limits).read(lambda *_: None)
    known = pairs.group_by("song_id").len().filter(pl.col("len") >= MIN_LISTENERS)
    allowed = items.join(known, left_on="own", right_on="song_id", how="semi")
    names = {"User": users, "Song": allowed}
    for rel, frame in side.relationships.items():
        if "User" in (rel.source, rel.target) and "Song" in (rel.source, rel.target):
            continue  # says who met what
        joined = _renamed(_renamed(frame, "source", names.get(rel.source)), "target", names.get(rel.target))
        mine = batch.relationships.get(rel)
        together = joined if mine is None else pl.concat([mine, joined], how="diagonal")
        keys = ["source", "target", *rel.identity]
        batch.relationships[rel] = together.unique(keys, keep="first", maintain_order=True)
    for label in (entry.name for entry in schema.LABELS if entry.name not in {"User", "Song"}):
        if label in side.nodes:
            mine_nodes = batch.nodes.get(label)
            both = side.nodes[label] if mine_nodes is None else pl.concat([mine_nodes, side.nodes[label]])
            batch.nodes[label] = both.unique("id", keep="first", maintain_order=True)
    _join_counts(batch, side, users, items, pairs)


def _theirs(pairs: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The pairs in the ids of the side source."""
    pairs = pairs.select("user_id", "song_id").unique()
    named = pairs.join(users, left_on="user_id", right_on="own").join(items, left_on="song_id", right_on="own")
    return named.select(user_id=pl.col("other"), song_id=pl.col("other_right"))


def _renamed(frame: pl.DataFrame, column: str, names: pl.DataFrame | None) -> pl.DataFrame:
    """With the ids of one column in this data set's words; rows whose id it does not know are left out."""
    if names is None:
        return frame
    joined = frame.join(names, left_on=column, right_on="other", how="inner", maintain_order="left")
    return joined.with_columns(pl.col("own").alias(column)).drop("own")


def _join_counts(batch: Batch, side: Batch, users: pl.DataFrame, items: pl.DataFrame, pairs: pl.DataFrame) -> None:
    if not len(side.events):
        return
    plays = side.events.filter(pl.col("action").is_in(list(schema.PLAYBACK_ACTIONS))).select(
        "user_id", "song_id", "count"
    )
    counts = _renamed(_renamed(plays, "user_id", users), "song_id", items)
    # once more, whatever the importer did: only pairs that a model may see
    counts = counts.join(pairs, on=["user_id", "song_id"], how="semi")
    counts = counts.group_by("user_id", "song_id").agg(side_count=pl.col("count").sum())
    joined = batch.events.join(counts, on=["user_id", "song_id"], how="left", maintain_order="left")
    seen = joined["split"] == "train" if "split" in joined.columns else pl.Series([True] * len(joined))
    batch.events = joined.with_columns(
        count=pl.when(seen & pl.col("side_count").is_not_null()).then(pl.col("side_count")).otherwise(pl.col("count"))
    ).drop("side_count")
