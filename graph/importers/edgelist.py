"""`edgelist`: `source target [weight] [relation]` a line, or a `.mat` with `network` (and labels `group`).

Fields stand apart by tabs, commas or blanks (whichever the first line has); a line that begins with `#` or `%` is a
comment; a first line of column names is left out. Nodes become `Entity`, edges `RELATED` with their relation ("edge"
when the file gives none); the graph keeps no weight of them. Each pair of a symmetric `network` comes in once, and its
labels are entities of the kind "group". `read_edges` and `read_labels` give the same to training and evaluation.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from graph import schema
from graph.batch import Batch, one_line
from graph.catalogue import Progress
from graph.errors import InvalidInput
from graph.importers.base import add_ends_as_nodes, existing_file, read_text
from graph.reading.delimited import fields_of
from graph.reading.opened import stem_of

_EXPECTED: Final = "source target [weight] [relation] a line, or a .mat file with `network`"
_COLUMN: Final = re.compile(  # what columns of edge lists are called
    r"(?:source|src|target|tgt|dst|from|to|head|tail|node|id|user|item|song|artist|weight|relation|type|label|rel|"
    r"timestamp|count)(?:[ _]?(?:id|name|[0-9a-z]))?"
)
_SUFFIXES: Final = (".txt", ".csv", ".tsv", ".edges", ".edgelist", ".mat")
_RELATED: Final = schema.relationship("RELATED", "Entity", "Entity")
EDGE: Final = "edge"


class EdgeList:
    """The edges in the file at `path`; `relation`: the name of those that have none; `header`: whether the first line
    names columns (None: it is found out)."""

    format = "edgelist"
    any_text = True

    def __init__(self, path: Path, *, relation: str = EDGE, header: bool | None = None) -> None:
        self._path, self._relation, self._header = path, relation, header

    @staticmethod
    def recognises(path: Path) -> bool:
        return stem_of(path)[1] in _SUFFIXES

    def files(self) -> list[Path]:
        return [existing_file(self._path, _EXPECTED)]

    def read(self, progress: Progress) -> Batch:
        batch = Batch(self.format)
        name = self.files()[0].name
        progress(f"reading {name}", 0, 1)
        edges = _edges(self._path, batch, header=self._header)
        if edges["weight"].null_count() < edges.height and (edges["weight"] != 1).any():
            batch.warn(f"{name}: weights are checked, and not kept in the graph (`read_edges` has them)")
        named = edges.select("source", "target", pl.col("relation").fill_null(self._relation), "line")
        batch.add_relationships(_RELATED, named, file=name)
        labels = read_labels(self._path)
        if labels is not None:
            groups = labels.select(source="node", target=pl.format("group:{}", "label"), relation=pl.lit("group"))
            batch.add_nodes(
                "Entity", groups.select(id="target", kind=pl.lit("group")).unique(maintain_order=True), file=name
            )
            batch.add_relationships(_RELATED, groups, file=name)
        add_ends_as_nodes(batch, "Entity", file=name)
        return batch


def read_edges(path: Path, *, both_ways: bool = False) -> pl.DataFrame:
    """The edges of a file: `source`, `target` (String), `weight` (Float64, 1 where none), `relation` (null: none).

    `both_ways`: a symmetric `network` is given whole, for those who read it as a directed graph.

    Raises: InvalidInput for a broken file, or the first bad line of it.
    """
    batch = Batch("edgelist")
    edges = _edges(existing_file(path, _EXPECTED), batch, both_ways=both_ways)
    if batch.rejects.height:
        file, line, reason, _ = batch.rejects.row(0)
        raise InvalidInput(f"{path.parent / file} line {line}: {reason}")
    return edges.select("source", "target", pl.col("weight").fill_null(1.0), "relation")


def read_labels(path: Path) -> pl.DataFrame | None:
    """The labels of a `.mat` file's nodes (`node`, `label`, both String), or None if it has none."""
    if path.suffix != ".mat":
        return None
    group = _matrix(path).get("group")
    if group is None:
        return None
    rows, columns = np.nonzero(group)
    return pl.DataFrame({"node": rows.astype(str), "label": columns.astype(str)})


def _edges(path: Path, batch: Batch, *, both_ways: bool = False, header: bool | None = None) -> pl.DataFrame:
    """`source`, `target`, `weight`, `relation`, `line`; bad lines go to the batch's rejects."""
    return _from_matrix(path, batch, both_ways) if path.suffix == ".mat" else _from_text(path, batch, header)


def _from_text(path: Path, batch: Batch, header: bool | None) -> pl.DataFrame:
    text = pl.Series("text", read_text(path, batch).split("\n"), dtype=pl.String).str.strip_chars()
    lines = pl.DataFrame({"text": text}).with_columns(line=pl.int_range(1, 1 + pl.len(), dtype=pl.Int64))
    lines = lines.filter(pl.col("text") != "", ~pl.col("text").str.contains(r"^[#%]"))
    if lines.is_empty():
        raise InvalidInput(f"{path}: expected {_EXPECTED}, got comments only")
    first = str(lines["text"][0])
    separator = next((one for one in ("\t", ",", ";") if one in first), " ")
    if separator == " ":
        lines = lines.with_columns(pl.col("text").str.replace_all(r"\s+", " "))
    lines = lines.with_columns(fields=_split(lines["text"], separator))
    if _is_header(lines["fields"]) if header is None else header:
        batch.warn(f"{path.name}: the first line is taken for a header: {one_line(first)}")
        lines = lines.slice(1)
    batch.read += lines.height
    split = lines.with_columns(n=pl.col("fields").list.len())
    wrong = split.filter(~pl.col("n").is_between(2, 4))
    batch.reject(path.name, [(line, f"expected 2 to 4 fields, got {n}", t) for t, line, _, n in wrong.rows()])
    edges = split.filter(pl.col("n").is_between(2, 4)).select(
        "line",
        "text",
        *(pl.col("fields").list.get(i, null_on_oob=True).alias(n) for i, n in enumerate(("source", "target"))),
        third=pl.col("fields").list.get(2, null_on_oob=True),
        relation=pl.col("fields").list.get(3, null_on_oob=True),
    )
    edges = edges.with_columns(weight=pl.col("third").cast(pl.Float64, strict=False))
    usable = pl.col("weight").is_finite() & (pl.col("weight") >= 0)
    # Without a weight the third field may be the relation.
    edges = edges.with_columns(is_name=pl.col("weight").is_null() & pl.col("relation").is_null())
    edges = edges.with_columns(relation=pl.when("is_name").then("third").otherwise("relation"))
    bad = edges.filter(pl.col("third").is_not_null() & ~pl.col("is_name") & ~usable.fill_null(value=False))
    reason = "expected a weight of at least 0"
    batch.reject(
        path.name, [(line, f"{reason}, got '{t[:40]}'", x) for line, x, t in bad.select("line", "text", "third").rows()]
    )
    edges = edges.join(bad.select("line"), on="line", how="anti", maintain_order="left")
    return edges.select("source", "target", "weight", "relation", "line")


def _split(lines: pl.Series, separator: str) -> pl.Series:
    """The fields of each line, without blanks around them; quoted ones by RFC 4180."""
    fields = lines.str.split(separator).list.eval(pl.element().str.strip_chars())
    quoted = lines.str.contains('"', literal=True)
    if not quoted.any():
        return fields
    rows = [
        [field.strip() for field in fields_of(line, separator, quoted=True) or []] if is_quoted else row
        for line, is_quoted, row in zip(lines, quoted, fields.to_list(), strict=True)
    ]
    return pl.Series(rows, dtype=pl.List(pl.String))


def _is_header(fields: pl.Series) -> bool:
    """Whether the first line names columns: it says so, or some column has numbers everywhere but there."""
    first = fields[0].to_list()
    if len(first) > 1 and all(_COLUMN.fullmatch(name.lower()) for name in first):
        return True
    if fields.len() < 2 or len(first) < 2:
        return False
    for place, name in enumerate(first):
        below = fields.slice(1).list.get(place, null_on_oob=True).cast(pl.Float64, strict=False)
        if below.null_count() == 0 and pl.Series([name]).cast(pl.Float64, strict=False).null_count():
            return True
    return False


def _from_matrix(path: Path, batch: Batch, both_ways: bool) -> pl.DataFrame:
    from scipy import sparse

    network = _matrix(path)["network"].tocoo()
    if not both_ways and (network != network.T).nnz == 0:
        network = sparse.triu(network).tocoo()
    batch.read += int(network.nnz)
    return pl.DataFrame(
        {
            "source": network.row.astype(str),
            "target": network.col.astype(str),
            "weight": network.data.astype(np.float64),
            "relation": pl.Series([None] * network.nnz, dtype=pl.String),
            "line": pl.Series([None] * network.nnz, dtype=pl.Int64),
        }
    )


def _matrix(path: Path) -> dict[str, Any]:
    """`network` (square, sparse) and, if it is there, `group` (a row for each node) of a MATLAB file."""
    from scipy import io, sparse

    try:
        held = io.loadmat(path)
    except Exception as failure:
        reason = " ".join(str(failure).split())[:200]
        raise InvalidInput(f"{path}: expected a MATLAB file with `network` ({reason})") from failure
    if "network" not in held:
        names = ", ".join(name for name in held if not name.startswith("__")) or "nothing"
        raise InvalidInput(f"{path}: expected a matrix `network`, got {names}")
    try:
        found: dict[str, Any] = {name: sparse.csr_matrix(held[name]) for name in ("network", "group") if name in held}
    except (TypeError, ValueError) as failure:
        raise InvalidInput(f"{path}: expected matrices of numbers ({failure})") from failure
    nodes, columns = found["network"].shape
    if nodes != columns:
        raise InvalidInput(f"{path}: expected a square `network`, got {nodes} by {columns}")
    if "group" in found and found["group"].shape[0] != nodes:
        raise InvalidInput(f"{path}: expected {nodes} rows of `group`, got {found['group'].shape[0]}")
    if not np.isfinite(found["network"].data).all() or (found["network"].data < 0).any():
        raise InvalidInput(f"{path}: expected weights of at least 0 in `network`")
    return found
