"""The whole graph and every listening history as memory-mapped arrays: what models and serving read.

A snapshot is exported once a refresh and never changes. Nodes of a label are numbered 0..n-1 in the byte order of
their ids, so the same data give the same bytes whichever engine held the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from graph import schema
from graph.errors import CorruptRelease
from graph.snapshot.arrays import Array, digest_of, read_arrays, touch, write_arrays
from graph.snapshot.exposures import Exposures
from graph.snapshot.histories import CODE, UNKNOWN_TIME, Histories
from graph.snapshot.ids import Ids, Strings, encode
from graph.snapshot.relations import Relation

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.data import HeteroData

VERSION: Final = 3
CELL_RESOLUTION: Final = 9
"""Of the H3 cells in histories: some 0.1 square kilometres."""
UNKNOWN_INTEGER: Final = np.iinfo(np.int64).min

Nodes = Mapping[str, pl.DataFrame]
Edges = Mapping[schema.Relationship, pl.DataFrame]


class Snapshot:
    """Nodes, relations and histories of one moment.

    `ids[label]` numbers the nodes; `column(label, property)` has one value a node; `relation(type)` is a CSR;
    `histories` are the events, `exposures` what was shown. A `view` shares everything but those two, of which it sees
    only some: that is how a model is kept from learning what it will be measured on.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array],
        meta: Mapping[str, Any],
        *,
        hidden: Histories | None = None,
        shown: Exposures | None = None,
    ) -> None:
        self._arrays, self.meta = dict(arrays), dict(meta)
        self.ids = {label: Ids.from_arrays(self._arrays, f"nodes/{label}/ids") for label in self.meta["labels"]}
        self._relations = {
            key: Relation.from_arrays(key, self._arrays, f"relations/{key}") for key in self.meta["relations"]
        }
        self.songs = len(self.ids["Song"])
        self.users = len(self.ids["User"])
        self.whole = hidden is None
        self.histories = hidden if hidden is not None else Histories.from_arrays(self._arrays, "histories", self.songs)
        everything = Exposures.from_arrays(self._arrays, "exposures", self.meta["exposure_channels"])
        self.exposures = everything if shown is None else shown

    @classmethod
    def open(cls, folder: Path) -> Snapshot:
        """Map a snapshot that `write` made.

        Raises: CorruptRelease if it is missing, damaged or of another version.
        """
        arrays, meta = read_arrays(folder / "snapshot")
        if meta.get("version") != VERSION:
            raise CorruptRelease(f"{folder}: snapshot version {meta.get('version')} (expected {VERSION})")
        try:
            return cls(arrays, meta)
        except KeyError as error:
            raise CorruptRelease(f"{folder}: the snapshot lacks {error}") from error

    def touch(self) -> None:
        """Read all of it once: see `graph.snapshot.arrays.touch`."""
        touch(self._arrays)

    @classmethod
    def of_frames(
        cls,
        nodes: Nodes,
        edges: Edges,
        events: pl.DataFrame,
        exposures: pl.DataFrame | None = None,
        *,
        wall_clock: int | None = None,
    ) -> Snapshot:
        """From tables: `nodes` by label (`id` and properties), `edges` by relationship (`source`, `target` and
        properties), `events` and `exposures` in log order (`offset` and their fields).

        Ids that stand only in edges or events become bare nodes. `wall_clock` caps `as_of` (epoch milliseconds).
        """
        return cls(*_assemble(nodes, edges, events, exposures, wall_clock))

    def write(self, folder: Path) -> None:
        """Write it to `folder`, the same bytes for the same content."""
        if not self.whole:
            raise ValueError("a view of a snapshot cannot be written: it would lose the events it hides")
        write_arrays(folder / "snapshot", self._arrays, self.meta)

    @property
    def as_of(self) -> int:
        """The newest event it sees (epoch milliseconds), or -1 if none has a time."""
        whole = int(self.meta["as_of"])
        return whole if self.whole else min(whole, self.histories.newest)

    @property
    def languages(self) -> Ids:
        return self.ids["Language"]

    def column(self, label: str, name: str) -> Array:
        """Numbers of one property (n,); NaN or `UNKNOWN_INTEGER` where unknown."""
        return self._arrays[f"nodes/{label}/{name}"]

    def texts(self, label: str, name: str) -> Strings:
        """Texts of one property (n,); empty where unknown."""
        prefix = f"nodes/{label}/{name}"
        return Strings(self._arrays[f"{prefix}/offsets"], self._arrays[f"{prefix}/buffer"])

    def name(self, label: str, i: int) -> str:
        """What people call node `i`: its name, else its title, else its id."""
        if label == "Language":
            return self.ids[label][i]
        property_ = "title" if label in {"Song", "Album"} else "name"
        return self.texts(label, property_)[i] or self.ids[label][i]

    def relation(self, name: str, source: str | None = None, target: str | None = None) -> Relation:
        """The relation of a type (`HAS_GENRE`, `LANGUAGE`, `RELATED:film.actor`), from songs where several labels have
        one and `source` does not say otherwise; a listener's to songs, where `target` does not.

        Raises: KeyError if the snapshot has no such relation.
        """
        try:
            return self._by_name[name, source, target]
        except KeyError:
            raise KeyError(f"no relation {name} from {source or 'any label'} to {target or 'any label'}") from None

    @cached_property
    def _by_name(self) -> dict[tuple[str, str | None, str | None], Relation]:
        found: dict[tuple[str, str | None, str | None], Relation] = {}

        def rank(relation: Relation) -> tuple[bool, bool, bool, str]:
            to_another = relation.source == "User" and relation.target != "Song"
            return relation.source != "Song", relation.source != "User", to_another, relation.key

        for relation in sorted(self.relations(), key=rank):
            for source in (None, relation.source):
                for target in (None, relation.target):
                    found.setdefault((relation.name, source, target), relation)
        return found

    def relations(self) -> Iterator[Relation]:
        """Every relation, those that are derived from the events this snapshot sees included."""
        yield from self._relations.values()
        if not self.whole:
            yield from self._derived.values()

    @cached_property
    def _derived(self) -> dict[str, Relation]:
        return {r.key: r for r in (self.histories.listened(), *self.histories.states().values())}

    def song_relations(self) -> list[Relation]:
        """Relations from songs to entities that a gamma can weigh: artists, genres, tags, languages, triples …"""
        return [r for r in self._relations.values() if r.source == "Song" and r.target != "Song" and len(r)]

    def view(self, keep: Array, until: int | None = None) -> Snapshot:
        """The same graph with only the events for which `keep` (events,) is true.

        With `until` (epoch milliseconds) relationships that came about then or later are hidden too: a song put on a
        playlist or a follow tells of the future just as an event does. Those without a time stay. Exposures are seen
        if they are from before `until`, none of them without it.
        """
        meta = {**self.meta, "relations": [k for k in self.meta["relations"] if k not in _OF_HISTORIES]}
        at = self.exposures.at
        shown = self.exposures.where((at != UNKNOWN_TIME) & (at < (0 if until is None else until)))
        seen = Snapshot(self._arrays, meta, hidden=self.histories.where(keep), shown=shown)
        if until is not None:
            seen._relations = {key: _before(relation, until) for key, relation in seen._relations.items()}
        return seen

    def digest(self) -> str:
        """SHA-256 of the catalogue and the social graph, without anything derived; the same for both engines."""
        return digest_of(
            (name, value)
            for name, value in self._arrays.items()
            if not name.startswith(("histories/", "exposures/"))
            and not any(f"/{key}/" in name for key in _DERIVED_KEYS)
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Nodes a label and edges a relation."""
        return {
            "labels": {label: len(ids) for label, ids in self.ids.items()},
            "relationships": {r.key: len(r) for r in self.relations()},
        }

    def to_networkx(self, *types: str) -> nx.MultiDiGraph:
        """The graph of the given relationship types (all, without any) as networkx, nodes named (label, id)."""
        import networkx as nx

        graph = nx.MultiDiGraph()
        for label, ids in self.ids.items():
            graph.add_nodes_from((label, id_) for id_ in ids.to_list())
        for relation in self.relations():
            if types and relation.name not in types:
                continue
            sources, targets = self.ids[relation.source].to_list(), self.ids[relation.target].to_list()
            columns = {name: values.tolist() for name, values in relation.properties.items()}
            for e, (s, t) in enumerate(zip(relation.edge_sources.tolist(), relation.indices.tolist(), strict=True)):
                properties = {name: values[e] for name, values in columns.items()}
                ends = (relation.source, sources[s]), (relation.target, targets[t])
                graph.add_edge(*ends, key=relation.name, **properties)
        return graph

    def to_hetero_data(self, *types: str) -> HeteroData:
        """The graph of the given relationship types (all, without any) as PyG `HeteroData`.

        Shapes: `num_nodes` a label; `edge_index` (2, E) a relation, and its properties (E,) under their own names.
        """
        import torch
        from torch_geometric.data import HeteroData

        data = HeteroData()
        for label, ids in self.ids.items():
            data[label].num_nodes = len(ids)
        for relation in self.relations():
            if types and relation.name not in types:
                continue
            store = data[relation.source, relation.name, relation.target]
            store.edge_index = torch.from_numpy(np.stack([relation.edge_sources, relation.indices]).astype(np.int64))
            for name, values in relation.properties.items():
                store[name] = torch.from_numpy(values.copy())
        return data


_NO_EDGES: Final = pl.DataFrame(schema={"source": pl.String, "target": pl.String})
_BEHAVIOUR: Final = ("histories/", "exposures/")
_DERIVED_KEYS: Final = frozenset(r.key for r in schema.RELATIONSHIPS if r.derived)
_OF_HISTORIES: Final = frozenset(r.key for r in schema.RELATIONSHIPS if r.derived and r.target == "Song")
"""What follows from events on songs."""


def _before(relation: Relation, until: int) -> Relation:
    for name in ("at", "since"):
        if name in relation.properties:
            return relation.where(relation.properties[name] < until)
    return relation


def _assemble(
    nodes: Nodes, edges: Edges, events: pl.DataFrame, exposures: pl.DataFrame | None, wall_clock: int | None
) -> tuple[dict[str, Array], dict[str, Any]]:
    ids, bare = _all_ids(nodes, edges, events)
    arrays: dict[str, Array] = {}
    series = {label: pl.Series(values, dtype=pl.String) for label, values in ids.items()}
    for label in schema.LABELS:
        arrays |= Ids.sorted_from(ids[label.name]).arrays(f"nodes/{label.name}/ids")
        frame = pl.DataFrame({"id": series[label.name]})
        if label.name in nodes:
            frame = frame.join(nodes[label.name], on="id", how="left", maintain_order="left")
        for property_ in (p for p in label.properties if not p.derived):
            arrays |= _column(frame, property_, f"nodes/{label.name}/{property_.name}")
    given = {rel: edges.get(rel, _NO_EDGES) for rel in schema.RELATIONSHIPS if not rel.derived}
    relations = [r for rel, frame in given.items() for r in _relations(rel, frame, series)]
    language = _language(nodes.get("Song"), series["Song"])
    arrays |= Ids.sorted_from(language[0]).arrays("nodes/Language/ids")
    histories = _histories(events, series["User"], series["Song"])
    relations += [language[1], histories.listened(), *histories.states().values()]
    relations += [_blocks(events, label, series) for label in schema.BLOCKED_LABELS]
    for relation in relations:
        arrays |= relation.arrays(f"relations/{relation.key}")
    arrays |= histories.arrays("histories")
    shown = Exposures.none()
    if exposures is not None:
        shown = Exposures.of_frame(exposures, series["User"], series["Song"])
    arrays |= shown.arrays("exposures")
    newest = histories.newest
    meta = {
        "version": VERSION,
        "labels": [*(label.name for label in schema.LABELS), "Language"],
        "relations": sorted(r.key for r in relations),
        "as_of": newest if wall_clock is None else min(newest, wall_clock),
        "bare": bare,
        "exposure_channels": list(shown.channels),
    }
    return arrays, meta


def _all_ids(nodes: Nodes, edges: Edges, events: pl.DataFrame) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Ids of every label, sorted by their bytes, and how many stand only in edges or events."""
    parts: dict[str, list[pl.Series]] = {label.name: [] for label in schema.LABELS}
    for rel, frame in edges.items():
        parts[rel.source].append(frame["source"])
        parts[rel.target].append(frame["target"])
    parts["User"].append(events["user_id"])
    parts["Song"].append(events["song_id"].drop_nulls())
    ids, bare = {}, {}
    for label, mentioned in parts.items():
        own = nodes[label]["id"] if label in nodes else pl.Series([], dtype=pl.String)
        together = pl.concat([own.cast(pl.String), *(m.cast(pl.String).unique() for m in mentioned)]).unique()
        # polars sorts text by its bytes, which is the order the contract asks for.
        ids[label] = together.sort().to_list()
        if len(together) > len(own):
            bare[label] = len(together) - len(own)
    return ids, bare


def _column(frame: pl.DataFrame, property_: schema.Property, prefix: str) -> dict[str, Array]:
    known = property_.name in frame.columns
    if property_.kind == "string":
        values = frame[property_.name].to_list() if known else [None] * len(frame)
        texts = Strings.of(values)
        return {f"{prefix}/offsets": texts.offsets, f"{prefix}/buffer": texts.buffer}
    return {prefix: _numbers(frame, property_)}


def _numbers(frame: pl.DataFrame, property_: schema.Property) -> Array:
    whole = property_.kind == "integer"
    if property_.name not in frame.columns:
        unknown = np.full(len(frame), UNKNOWN_INTEGER if whole else np.nan)
        return unknown.astype(np.int64 if whole else np.float64)
    column = frame[property_.name]
    if whole:
        return column.cast(pl.Int64).fill_null(UNKNOWN_INTEGER).to_numpy()
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _relations(rel: schema.Relationship, frame: pl.DataFrame, ids: Mapping[str, pl.Series]) -> list[Relation]:
    """One relation, or for RELATED one for each kind of triple, so that each can have its own gamma."""
    if rel.type == "RELATED":
        kinds = frame["relation"].unique().sort().to_list() if len(frame) else []
        return [
            _relation(f"RELATED:{kind}:{rel.source}:{rel.target}", rel, frame.filter(pl.col("relation") == kind), ids)
            for kind in kinds
        ]
    return [_relation(rel.key, rel, frame, ids)]


def _relation(key: str, rel: schema.Relationship, frame: pl.DataFrame, ids: Mapping[str, pl.Series]) -> Relation:
    numbers = [p for p in rel.properties if p.kind != "string"]
    return Relation.of_edges(
        key,
        encode(frame["source"], ids[rel.source]),
        encode(frame["target"], ids[rel.target]),
        {p.name: _numbers(frame, p) for p in numbers},
        len(ids[rel.source]),
        len(ids[rel.target]),
    )


def _language(songs: pl.DataFrame | None, ids: pl.Series) -> tuple[list[str], Relation]:
    """`Song.language` as a relation, so that it can have a gamma."""
    if songs is None or "language" not in songs.columns:
        known = pl.DataFrame({"id": [], "language": []}, schema={"id": pl.String, "language": pl.String})
    else:
        known = songs.select("id", "language").filter(pl.col("language").fill_null("") != "")
    languages = known["language"].unique().sort()
    source, target = encode(known["id"], ids), encode(known["language"], languages)
    relation = Relation.of_edges("LANGUAGE:Song:Language", source, target, {}, len(ids), len(languages))
    return languages.to_list(), relation


def _blocks(events: pl.DataFrame, label: str, ids: Mapping[str, pl.Series]) -> Relation:
    """Whom or what of a label each listener blocks, as it stands after every unblocking; unknown ids are left out."""
    if "target_label" not in events.columns:
        events = events.with_columns(target_label=pl.lit(None, pl.String), target_id=pl.lit(None, pl.String))
    mine = events.filter(
        pl.col("action").is_in(list(schema.BLOCK_ACTIONS)),
        pl.col("target_label") == label,
        pl.col("target_id").is_in(ids[label].implode()),
    )
    # one without a time happened after those that the log held before it
    before = pl.col("at").cum_max().forward_fill().over("user_id").fill_null(UNKNOWN_TIME)
    happened = pl.coalesce(pl.col("at"), before)
    last = mine.sort("offset").with_columns(happened=happened).sort("happened", "offset")
    last = last.unique(["user_id", "target_id"], keep="last", maintain_order=True).filter(pl.col("action") == "block")
    return Relation.of_edges(
        f"BLOCKED:User:{label}",
        encode(last["user_id"], ids["User"]),
        encode(last["target_id"], ids[label]),
        {"at": last["at"].cast(pl.Int64).fill_null(UNKNOWN_TIME).to_numpy()},
        len(ids["User"]),
        len(ids[label]),
    )


def _histories(events: pl.DataFrame, users: pl.Series, songs: pl.Series) -> Histories:
    mine = events.filter(pl.col("action").is_in(list(schema.SONG_ACTIONS)) & pl.col("song_id").is_not_null())
    if "private" in mine.columns:
        mine = mine.filter((pl.col("private").fill_null(0) == 0) | pl.col("action").is_in(list(schema.BLOCK_ACTIONS)))
    codes = pl.DataFrame({"action": list(CODE), "code": np.arange(len(CODE), dtype=np.uint8)})
    action = mine.select("action").join(codes, on="action", how="left", maintain_order="left")["code"].to_numpy()
    columns = {
        "user": encode(mine["user_id"], users),
        "song": encode(mine["song_id"], songs),
        "action": action,
        "at": mine["at"].cast(pl.Int64).fill_null(UNKNOWN_TIME).to_numpy(),
        "count": mine["count"].cast(pl.Int64).fill_null(1).to_numpy(),
        "played_ms": mine["played_ms"].cast(pl.Int64).fill_null(-1).to_numpy(),
        "rating": mine["rating"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        "offset": mine["offset"].cast(pl.Int64).to_numpy(),
        "cell": cells(mine),
    }
    return Histories.of_events(columns, len(users), len(songs))


@lru_cache(maxsize=65_536)
def cell_of(latitude: float, longitude: float) -> int:
    """The H3 cell of a point in degrees; the same points come again and again."""
    import h3

    return int(h3.str_to_int(h3.latlng_to_cell(latitude, longitude, CELL_RESOLUTION)))


def cells(events: pl.DataFrame) -> Array:
    """(E,) H3 cell of the point where each event happened, 0 where that is unknown; equal points are looked up once.

    The log has moved points to the centres of its own cells (`privacy.h3_resolution`), mostly wider ones than these: a
    cell within one of the log's says no more than that one.
    """
    points = events.select("latitude", "longitude")
    known = points.drop_nulls().unique()
    if known.is_empty():
        return np.zeros(len(events), dtype=np.int64)
    cells = [cell_of(*point) for point in known.rows()]
    table = known.with_columns(cell=pl.Series(cells, dtype=pl.Int64))
    found = points.join(table, on=["latitude", "longitude"], how="left", maintain_order="left")
    return found["cell"].fill_null(0).to_numpy()
