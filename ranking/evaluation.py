"""`segue evaluate`: one model on one data set by one protocol, full ranking over all items.

Items heard in training are masked, nothing else is. Every listener with at least one held-out item counts; metrics are
means over them. Equal scores rank by the item's first appearance in the training data, items without any after those.
"""

from __future__ import annotations

import inspect
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from embeddings import models
from embeddings.vectors.model_vectors import ModelVectors
from graph.batch import Batch
from graph.configure import configure
from graph.errors import FitError, InvalidInput, SettingsError
from graph.release import Release
from graph.schema import SONG_ACTIONS, Relationship, relationship
from graph.snapshot.arrays import Array
from graph.snapshot.histories import STRENGTH
from graph.snapshot.ids import encode
from graph.snapshot.snapshot import Snapshot
from graph.units import UnitUse
from ranking.cascade import Cascade
from ranking.holdout import Holdout
from ranking.learning import NEAREST, Learner, LearningConfig
from ranking.metrics import Scoreboard
from ranking.scene import FUSED, ORDER, SceneConfig, unhurried
from ranking.sides import join_side
from ranking.training import best_first
from recall.base import Channel, Query
from recall.discovery import channel_names, channel_type
from recall.item_lists.neighbours import Neighbours
from recall.listeners.listener import UNHEARD, Listener
from recall.listeners.preferences import listeners

PROTOCOLS: Final = ("given", "leave-one-out", "ratio", "temporal")
TRAIN, VALID, TEST = "train", "valid", "test"
POOL: Final = 1000
"""Songs that the cascade's ranker orders here: full ranking asks for more than a slate does."""
_LIKED: Final = [action for action in sorted(SONG_ACTIONS) if STRENGTH.get(action, 0) > 0]
Progress = Callable[[str, int, int], None]
Rank = Callable[[Query], Array]


@dataclass(frozen=True)
class Data:
    """A data set cut by a protocol.

    `train` is what a model may see; `truth` holds (listener, items held out for the test), items that the listener
    has in training left out; with `negatives` (listener -> items) only those and the truth are ranked. `valid` is the
    same for the validation part, for choosing when to stop, and empty where that part is trained on; its events (E,) of
    `train` are then marked in `trained_valid`.
    """

    train: Snapshot
    truth: list[tuple[int, Array]]
    negatives: Mapping[int, Array] | None = None
    valid: list[tuple[int, Array]] = field(default_factory=list)
    trained_valid: Array | None = None


def model_names() -> list[str]:
    """The models that can be evaluated: every recall channel, every graph network, and the whole cascade."""
    return ["cascade", *(name.replace("_", "-") for name in channel_names())]


def split(events: pl.DataFrame, protocol: str, seed: int) -> pl.Series:
    """`train`, `valid` or `test` for every event; `given` reads the events' own column `split`.

    `leave-one-out`: a listener's last event tests, the one before validates, whoever has fewer than three only trains.
    `ratio`: 8:1:1 of each listener's events, drawn from `seed`. `temporal`: the last tenth of the time tests, the
    tenth before validates.
    Raises: InvalidInput if the data cannot be cut so.
    """
    if protocol == "given":
        if "split" not in events.columns:
            raise InvalidInput("protocol given: these data come without a split (the other protocols make one)")
        return events["split"]
    if protocol == "temporal":
        return _temporal(events["at"])
    order = events.select("user_id", "at").with_row_index("row")
    if protocol == "leave-one-out":
        ranked = order.sort("user_id", "at", "row", nulls_last=False, maintain_order=True)
        left = pl.int_range(pl.len(), 0, -1).over("user_id")
        ranked = ranked.with_columns(left=left, size=pl.len().over("user_id")).sort("row")
        small = pl.when(pl.col("size") < 3).then(pl.lit(TRAIN))
        fold = small.when(pl.col("left") == 1).then(pl.lit(TEST)).when(pl.col("left") == 2).then(pl.lit(VALID))
        return ranked.select(split=fold.otherwise(pl.lit(TRAIN)))["split"]
    if protocol == "ratio":
        draw = np.random.default_rng(seed).random(len(order))
        place = (pl.col("draw").rank("ordinal").over("user_id") - 1) / pl.len().over("user_id")
        shares = order.with_columns(draw=pl.Series(draw)).with_columns(place=place)
        train = pl.when(pl.col("place") < 0.8).then(pl.lit(TRAIN))
        fold = train.when(pl.col("place") < 0.9).then(pl.lit(VALID))
        return shares.select(split=fold.otherwise(pl.lit(TEST)))["split"]
    raise InvalidInput(f"unknown protocol {protocol!r} (expected one of {', '.join(PROTOCOLS)})")


def _temporal(at: pl.Series) -> pl.Series:
    if at.null_count():
        raise InvalidInput(f"protocol temporal: {at.null_count()} of {len(at)} events have no time")
    times = at.to_numpy()
    if not len(times):
        raise InvalidInput("protocol temporal: there is no event")
    first, last = int(times.min()), int(times.max())
    fold = np.full(len(times), TRAIN, dtype=object)
    fold[times > first + 0.8 * (last - first)] = VALID
    fold[times > first + 0.9 * (last - first)] = TEST
    return pl.Series(fold.tolist(), dtype=pl.String)


def prepare(batch: Batch, protocol: str, seed: int, *, sides: Sequence[str] = (), maps: Path | None = None) -> Data:
    """Cut a data set that an importer read (with a column `split` in its events for `given`).

    `sides` are FORMAT:PATH sources joined through the maps in `maps`; see `ranking.sides`.
    Raises: InvalidInput if it has no event on a song, cannot be cut so, or nothing is left to test on.
    """
    liked = batch.events.filter(pl.col("action").is_in(_LIKED) & pl.col("song_id").is_not_null())
    if not len(liked):
        raise InvalidInput("these data hold no event that says a listener liked a song")
    liked = liked.with_columns(split=split(liked, protocol, seed))
    seen = [TRAIN, VALID] if protocol == "leave-one-out" else [TRAIN]
    others = _said_against(batch.events, liked, seen, protocol)
    if sides:
        if maps is None:
            raise InvalidInput("--side needs --maps, the folder of user_map*.tsv and item_map*.tsv")
        batch.events = liked
        for source in sides:
            training = pl.col("split") == TRAIN
            join_side(batch, liked.filter(training), liked.filter(~training), source, maps)
        liked = batch.events
    train = liked.filter(pl.col("split").is_in(seen))
    train = pl.concat([train, others.select(train.columns)]).with_row_index("offset", offset=1)
    validating = train.filter(pl.col("split") == VALID)["offset"].to_numpy()
    train = train.drop("split")
    nodes = dict(batch.nodes)
    for label, column in (("User", "user_id"), ("Song", "song_id")):
        everything = liked.select(id=pl.col(column).cast(pl.String)).unique(maintain_order=True)
        known = nodes.get(label)
        missing = everything if known is None else everything.join(known, on="id", how="anti")
        nodes[label] = missing if known is None else pl.concat([known, missing], how="diagonal")
    edges = _without_held_out(batch.relationships, liked, seen)
    snapshot = Snapshot.of_frames(nodes, edges, train)
    learned = train.select("user_id", "song_id").unique()
    held = {
        part: liked.filter(pl.col("split") == part)
        .select("user_id", "song_id")
        .unique()
        .join(learned, on=["user_id", "song_id"], how="anti")
        for part in (TEST, VALID)
    }
    if not len(held[TEST]):
        raise InvalidInput(f"protocol {protocol}: nothing is held out for the test")
    marked = np.isin(snapshot.histories.offset, validating) if VALID in seen else None
    return Data(snapshot, _truth(held[TEST], snapshot), valid=_truth(held[VALID], snapshot), trained_valid=marked)


def _said_against(events: pl.DataFrame, liked: pl.DataFrame, seen: Sequence[str], protocol: str) -> pl.DataFrame:
    """The events on songs that say nothing good of them (skips, dislikes, blocks) and that a model could know of, with
    a column `split` that is null.

    With `given` those of the parts seen, with `temporal` those before all that is held out, with `leave-one-out` those
    before what is held out of the same listener, else all; none is of a song that is held out of the same listener.
    """
    others = events.filter(~pl.col("action").is_in(_LIKED) & pl.col("song_id").is_not_null())
    held = liked.filter(~pl.col("split").is_in(seen))
    others = others.join(held.select("user_id", "song_id").unique(), on=["user_id", "song_id"], how="anti")
    if protocol == "given":
        others = others.filter(pl.col("split").is_in(seen))
    elif protocol == "temporal":
        others = others.filter(pl.col("at") < held["at"].min())
    elif protocol == "leave-one-out":
        first = held.group_by("user_id").agg(pl.col("at").min().alias("held_at"))
        others = others.join(first, on="user_id", how="left", maintain_order="left")
        others = others.filter(
            pl.any_horizontal(pl.col("at", "held_at").is_null()) | (pl.col("at") < pl.col("held_at"))
        )
        others = others.drop("held_at")
    return others.with_columns(split=pl.lit(None, dtype=pl.String)).select(liked.columns)


def _without_held_out(
    edges: Mapping[Relationship, pl.DataFrame], liked: pl.DataFrame, seen: Sequence[str]
) -> dict[Relationship, pl.DataFrame]:
    """The relationships without those that say that a listener met a held-out item: songs on the listener's own
    playlists, uploads, and whatever came about after the training part of data with times."""
    pairs = liked.select("user_id", "song_id").unique()
    train = liked.filter(pl.col("split").is_in(seen))
    held = pairs.join(train.select("user_id", "song_id").unique(), on=["user_id", "song_id"], how="anti")
    contains, owns = relationship("CONTAINS", "Playlist", "Song"), relationship("OWNS", "User", "Playlist")
    uploaded = relationship("UPLOADED", "User", "Song")
    kept = dict(edges)
    if contains in kept and owns in kept:
        owners = kept[owns].select(user_id="source", source="target")
        told = owners.join(held, on="user_id").select("source", target="song_id")
        kept[contains] = kept[contains].join(told, on=["source", "target"], how="anti", maintain_order="left")
    if uploaded in kept:
        met = held.rename({"user_id": "source", "song_id": "target"})
        kept[uploaded] = kept[uploaded].join(met, on=["source", "target"], how="anti", maintain_order="left")
    last = train["at"].max() if "at" in train.columns else None
    if isinstance(last, int) and liked.filter(~pl.col("split").is_in(seen))["at"].min() is not None:
        for rel, frame in kept.items():
            for name in ("at", "since"):
                if name in frame.columns:
                    kept[rel] = frame.filter(pl.col(name).is_null() | (pl.col(name) <= last))
    return kept


def with_negatives(data: Data, lists: pl.DataFrame) -> Data:
    """`data` ranked among the truth and the given negatives only; `lists`: a row (`key` listener, `value` item) each.

    Raises: InvalidInput if a listener of the truth has no negatives.
    """
    users = encode(lists["key"], pl.Series(data.train.ids["User"].to_list(), dtype=pl.String))
    songs = encode(lists["value"], pl.Series(data.train.ids["Song"].to_list(), dtype=pl.String))
    good = (users >= 0) & (songs >= 0)
    order = np.argsort(users[good], kind="stable")
    known, starts = np.unique(users[good][order], return_index=True)
    found = dict(zip(known.tolist(), np.split(songs[good][order], starts[1:]), strict=True))
    missing = [user for user, _ in data.truth if user not in found]
    if missing:
        name = data.train.ids["User"][missing[0]]
        raise InvalidInput(f"--negatives: {len(missing)} listeners have none, such as {name!r}")
    return replace(data, negatives=found)


def _truth(held: pl.DataFrame, snapshot: Snapshot) -> list[tuple[int, Array]]:
    users = encode(held["user_id"], pl.Series(snapshot.ids["User"].to_list(), dtype=pl.String))
    songs = encode(held["song_id"], pl.Series(snapshot.ids["Song"].to_list(), dtype=pl.String))
    order = np.lexsort((songs, users))
    users, songs = users[order], songs[order]
    known, starts = np.unique(users, return_index=True)
    parts = np.split(songs, starts[1:]) if len(known) else []
    return list(zip(known.tolist(), parts, strict=True))


def evaluate(
    model: str,
    data: Data,
    *,
    ks: Sequence[int] = (10,),
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    progress: Progress = lambda what, done, total: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Fit `model` on the training part, rank for every listener of the truth, and score.

    Returns: `users, items, metrics, seconds: {fit, score}, config`.
    Raises: InvalidInput for an unknown model; SettingsError for an unknown option; FitError.
    """
    if model not in model_names():
        raise InvalidInput(f"unknown model {model!r} (known: {', '.join(model_names())})")
    snapshot = data.train
    with tempfile.TemporaryDirectory(prefix="segue-evaluate-") as folder:
        started = time.perf_counter()
        snapshot.write(Path(folder) / "snapshot")
        if model == "cascade":
            rank, config = _fit_cascade(Path(folder), data, options or {}, max(ks), seed, progress)
        elif model.replace("-", "_") in models.model_names():
            rank, config = _fit_model(model, data, Path(folder), options or {}, seed, progress)
        else:
            rank, config = _fit_channel(model, Path(folder), options or {}, seed, progress)
        fitted = time.perf_counter()
        board = measure(rank, data, ks, progress)
        scored = time.perf_counter()
    return {
        "users": len(data.truth),
        "items": snapshot.songs,
        "metrics": {name: round(value, 6) for name, value in board.means().items()},
        "seconds": {"fit": round(fitted - started, 3), "score": round(scored - fitted, 3)},
        "config": config,
    }


def measure(rank: Rank, data: Data, ks: Sequence[int], progress: Progress | None = None) -> Scoreboard:
    """What `rank` answers to every listener of the truth, scored."""
    snapshot = data.train
    board = Scoreboard(snapshot.songs, listeners(snapshot), snapshot.users, tuple(ks))
    at = max(snapshot.as_of, 0)
    for done, (user, relevant) in enumerate(data.truth):
        listener = Listener.of(snapshot, snapshot.ids["User"][user])
        ranked = rank(Query(listener, at, listener.heard.astype(np.int32)))
        if data.negatives is not None:
            ranked = ranked[np.isin(ranked, np.concatenate([relevant, data.negatives.get(user, UNHEARD)]))]
        board.add(ranked, relevant)
        if progress is not None:
            progress("evaluate", done + 1, len(data.truth))
    return board


def _fit_channel(
    model: str, folder: Path, options: Mapping[str, Any], seed: int, progress: Progress
) -> tuple[Rank, dict[str, Any]]:
    """A channel alone; options of the models that it looks up go by the prefix `embed.`, or `embed.MODEL.`."""
    kind = channel_type(model.replace("-", "_"))
    mine = {key: value for key, value in options.items() if not key.startswith("embed.")}
    config = kind.configure(mine)
    training = {k.removeprefix("embed."): v for k, v in options.items() if k.startswith("embed.")}
    rng = np.random.default_rng([seed, 0])
    release = Release.open(folder)
    vectors: dict[str, ModelVectors] = {}
    for name in kind.vectors:
        learned = models.model_type(name)
        own = {key.removeprefix(f"{name}."): value for key, value in training.items()}
        vectors[name] = learned.model.fit(release.snapshot, learned.configure(_nested(own)), rng=rng, progress=progress)
        vectors[name].save(folder / "vectors" / name, {"config": asdict(learned.configure(_nested(own)))})
        near = Neighbours.of_vectors(vectors[name].unit, NEAREST)
        near.save(folder / "similar" / name)
    if kind.prepares:
        mine_folder = folder / "recall" / kind.name
        mine_folder.mkdir(parents=True)
        kind.channel.prepare(release.snapshot, vectors, config, mine_folder, rng=rng)
    release = Release.open(folder)
    channel: Channel = kind.channel(release, config)
    trained = {name: dict(found.meta.get("config", {})) for name, found in vectors.items()}
    shown = asdict(config) | ({"embed": trained} if trained else {})

    def rank(query: Query) -> Array:
        return best_first(channel.recall(query, release.snapshot.songs), release.snapshot)

    return rank, shown


def _fit_model(
    model: str, data: Data, folder: Path, options: Mapping[str, Any], seed: int, progress: Progress
) -> tuple[Rank, dict[str, Any]]:
    """A model alone: its scores of all pairs where it has listener vectors, else the channel of its name.

    The validation part, where there is one, chooses the epoch of a graph network. The option `device` is torch's.
    """
    kind = models.model_type(model.replace("-", "_"))
    mine = {key.removeprefix("embed."): value for key, value in options.items() if key != "device"}
    config = kind.configure(_nested(mine))
    how: dict[str, Any] = {"device": _device(str(options["device"]))} if "device" in options else {}
    if data.valid and "validate" in inspect.signature(kind.model.fit).parameters:
        how["validate"] = Holdout(data.train, data.valid).ndcg
    vectors: ModelVectors = kind.model.fit(
        data.train, config, rng=np.random.default_rng([seed, 0]), progress=progress, **how
    )
    if vectors.listeners is not None:
        return ByScore(vectors, data.train), dict(vectors.meta)
    vectors.save(folder / "vectors" / kind.name, {"config": asdict(config)})
    channel = channel_type(kind.name).build(Release.open(folder))

    def rank(query: Query) -> Array:
        return best_first(channel.recall(query, data.train.songs), data.train)

    return rank, {"config": asdict(config)}


def _device(name: str) -> str:
    """The name of a device that torch can use.

    Raises: SettingsError.
    """
    import torch

    known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if name not in {*known, *(["cuda"] if len(known) > 1 else [])}:
        raise SettingsError(f"--set device: torch has no {name!r} here (known: {', '.join(known)})")
    return name


class ByScore:
    """Ranks all songs for listener after listener, whose scores are computed a block at a time."""

    def __init__(self, vectors: ModelVectors, snapshot: Snapshot, block: int = 256) -> None:
        self.vectors, self.users, self.block = vectors, snapshot.users, block
        self.songs = np.argsort(snapshot.histories.first_seen, kind="stable")  # in order of arrival, which settles ties
        self.start, self.scores = 0, np.empty((0, snapshot.songs))

    def __call__(self, query: Query) -> Array:
        user = query.listener.user
        if not self.start <= user < self.start + len(self.scores):
            self.start = user
            self.scores = self.vectors.scores(np.arange(user, min(user + self.block, self.users)))[:, self.songs]
        ranked: Array = self.songs[np.argsort(-self.scores[user - self.start], kind="stable")]
        return ranked[query.allowed[ranked]]


def _fit_cascade(
    folder: Path, data: Data, options: Mapping[str, Any], k: int, seed: int, progress: Progress
) -> tuple[Rank, dict[str, Any]]:
    """The whole line as a refresh makes it, with the default scene.

    Where the data have a validation part, models and channels learn from all of the training part, fusion and ranker
    from the validation part. Where that part is trained on, it first trains fusion and ranker alone; then models and
    channels are trained again on all.
    """
    given = _nested(options)
    embed = _table(given, "embed")
    scene = _scene(given)
    trained = {name: models.model_type(name).configure(embed.get(name)) for name in models.enabled_by_default()}
    fixed = {"measure_share": 0.0, "seed": seed, **({"rank_share": 0.0} if data.valid else {})}
    learning = replace(configure(LearningConfig, {**fixed, **given}, "evaluate cascade"), models=trained)
    release = learned(folder, Learner({"evaluate": scene}, learning, progress), data)
    cascade = Cascade(release, scene, "evaluate")
    if cascade.ranker is None and scene.ranker != FUSED:
        raise FitError("the ranker had nothing to learn from: too few events")

    def rank(query: Query) -> Array:
        slate = cascade.slate(cascade.ask(query.listener, query.at), k)
        rest = np.setdiff1d(np.arange(len(slate.pool)), slate.rows)
        scores = cascade.rank(query, slate.pool)[rest]
        return np.concatenate([slate.songs, slate.pool.songs[rest[np.argsort(-scores, kind="stable")]]])

    return rank, {**asdict(learning), **{key: asdict(scene)[key] for key in ORDER}}


def learned(folder: Path, learner: Learner, data: Data) -> Release:
    """The training part, whose snapshot is in `folder`, as a refresh ships it: models and channels of all of it, fusion
    and ranker of the validation part; without one, of the events that the learner's config holds back for them.

    Raises: FitError.
    """
    if data.valid:
        learner.learn(folder, data.valid)
        return Release.open(folder).measured()
    learner = teaching(learner, data)
    learner.learn(folder)
    learner.bring_to_end(folder)
    return Release.open(folder)


def teaching(learner: Learner, data: Data) -> Learner:
    """The learner whose fusion and ranker learn from the validation part, where that is part of the training."""
    marked = data.trained_valid
    return learner if marked is None or not marked.any() else learner.with_ranker_train(marked)


def _scene(given: dict[str, Any]) -> SceneConfig:
    """The default scene with a pool as full ranking needs it, and with the ranker and re-ranker that are `given`: those
    options are taken out.

    Raises: SettingsError for an unknown one, or an option that it does not have.
    """
    said: dict[str, Any] = {key: str(given.pop(key)) for key in ("ranker", "reranker") if key in given}
    for kind in ("rankers", "rerankers"):
        tables = _table(given, kind)
        said[kind] = {name: UnitUse.of_table(table, f"{kind}.{name}") for name, table in tables.items()}
    return unhurried(SceneConfig(pool=POOL, **said))


def _table(given: dict[str, Any], key: str) -> dict[str, Any]:
    """The table of that name, taken out.

    Raises: SettingsError if it is a value.
    """
    table = given.pop(key, {})
    if not isinstance(table, dict):
        raise SettingsError(f"--set {key}: a value, not a table (got {table!r})")
    return table


def _nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """`{"gamma.HAS_GENRE": 1}` as `{"gamma": {"HAS_GENRE": 1}}`.

    Raises: SettingsError if a key is both a value and a table.
    """
    nested: dict[str, Any] = {}
    for key, value in options.items():
        table = nested
        *parents, last = key.split(".")
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise SettingsError(f"--set {key}: {parent} is a value, not a table")
        table[last] = value
    return nested
