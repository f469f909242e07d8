"""Names that a search may mean: by whole words, in any case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.once import once

_WORD: Final = r"[\p{L}\p{N}]+"
_SEARCHED: Final = re.compile(r"[^\W_]+")


class NameIndex:
    """N names by their words, as two arrays: the hash of each word of each name, rising, and whose it is."""

    def __init__(self, names: Sequence[str]) -> None:
        frame = pl.DataFrame({"words": pl.Series(names, dtype=pl.String).str.to_lowercase().str.extract_all(_WORD)})
        frame = frame.with_columns(pl.col("words").list.unique()).with_row_index("name")
        self._sizes = frame["words"].list.len().to_numpy()
        words = frame.explode("words").drop_nulls("words")
        hashes, names_ = words["words"].hash().to_numpy(), words["name"].to_numpy()
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._names = hashes[order], names_[order]

    @classmethod
    def of(cls, snapshot: Snapshot, label: str) -> NameIndex:
        """The names of a label's nodes as people call them, made once for all who ask."""

        def made() -> NameIndex:
            own = snapshot.texts(label, "title" if label == "Song" else "name").to_list()
            return cls([name or id_ for name, id_ in zip(own, snapshot.ids[label].to_list(), strict=True)])

        return once(snapshot, f"names:{label}", made)

    def find(self, text: str) -> tuple[Array, Array]:
        """Positions (n,) of the names that the text means, rising, and how well each fits (n,), 1 for the same words.

        Either all words of the text are in the name, or all words of the name are in the text; the fit is the share of
        the longer one's words that both have.
        """
        words = words_of(text)
        if not words:
            return np.empty(0, dtype=np.int64), np.empty(0)
        hashes = pl.Series(words).hash().to_numpy()
        first, last = (np.searchsorted(self._hashes, hashes, side) for side in ("left", "right"))
        parts = [self._names[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        found, both = np.unique(np.concatenate(parts), return_counts=True)
        sizes = self._sizes[found]
        fits = (both == len(words)) | (both == sizes)
        return found[fits].astype(np.int64), both[fits] / np.maximum(sizes[fits], len(words))


def words_of(text: str) -> list[str]:
    """The distinct words of a text in lower case, in their order."""
    return list(dict.fromkeys(_SEARCHED.findall(text.lower())))


def fit(text: str, name: str) -> float:
    """How well a text means a name, as in `NameIndex.find`; 0 where it does not."""
    ours, theirs = set(words_of(text)), set(words_of(name))
    inside = ours and theirs and (ours <= theirs or theirs <= ours)
    return len(ours & theirs) / max(len(ours), len(theirs)) if inside else 0.0
