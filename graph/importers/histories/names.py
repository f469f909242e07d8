"""Ids of songs, artists and albums that have none of their own: made of their names.

A name is folded (Unicode form NFKC, no case, one blank for any white space), so that spellings that differ in nothing
else are one. Several names, an artist and a title say, stand with a tab between them, which no folded name has; then
`schema.id_of_name` makes an id of it: `AC/DC`, `Heroes` is `ac%2Fdc%09heroes`. Names themselves are kept as they are.
"""

from __future__ import annotations

import unicodedata

import polars as pl

from graph.schema import id_of_name


def folded(name: str) -> str:
    """The name without what does not tell it from another; may be empty."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", text).split())


def made_of(*names: str | None) -> str | None:
    """The id made of these names; None if the last one is empty. An absent one before it counts as empty."""
    parts = [folded(name or "") for name in names]
    return id_of_name("\t".join(parts)) if parts[-1] else None


def made_ids(frame: pl.DataFrame, *columns: str) -> pl.Series:
    """Per row the id made of the names in these columns (String); null if the last one has none."""
    pairs = frame.select(columns).unique(maintain_order=True)
    made = pl.Series("made", [made_of(*row) for row in pairs.rows()], dtype=pl.String)
    found = frame.join(pairs.with_columns(made), on=list(columns), how="left", nulls_equal=True, maintain_order="left")
    return found["made"]
