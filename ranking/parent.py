"""The parent of a candidate as it was, answering the candidate's listeners in the candidate's numbering of songs.

Its models, lists, fusion and ranker are those it was published with. What it knows of a listener is what the candidate
knows when its measurement begins, as far as the parent knows the songs. A song that came after it counts as missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.vectors.alignment import common
from graph.errors import CorruptRelease
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import Histories
from graph.snapshot.snapshot import Snapshot
from graph.units import UnitUse
from ranking.cascade import Cascade
from ranking.gate import Paired
from ranking.learning import DEFAULT_SCENE, SLATE, Learner, Truth
from ranking.scene import ChannelUse, SceneConfig, unhurried
from ranking.training import TEST, Split, cut, measure
from recall.base import Query
from recall.listeners.listener import Listener


class Parent:
    """A sealed release over the listeners and the held-out events of a newer snapshot.

    `snapshot` is the candidate's, whole, and `split` says what of it is known when the measurement begins. Where the
    parent has learned from events that are held out now, its models are taken as they were measured.
    Raises: CorruptRelease if the manifest does not say what the scene was; SettingsError if the scene is of channels or
    options that are no longer there.
    """

    def __init__(self, release: Release, snapshot: Snapshot, split: Split) -> None:
        held_out = snapshot.histories.offset[split.subset == TEST]
        mine = release.snapshot.histories
        learned = np.ones(len(mine), dtype=bool)
        if np.isin(mine.offset, held_out).any():
            release, learned = release.measured(), _fold(release) < TEST
        view = release.snapshot.view(
            np.isin(mine.offset, snapshot.histories.offset[split.subset < TEST]), split.measure_at or None
        )
        was, now = common(view.ids["Song"].to_list(), snapshot.ids["Song"].to_list())
        self._mine = np.full(snapshot.songs, -1, dtype=np.int32)
        self._mine[now] = was
        self._theirs = np.full(view.songs, -1, dtype=np.int32)
        self._theirs[was] = now
        self._cascade = Cascade(release.seeing(view), default_scene(release.manifest), DEFAULT_SCENE)
        self._learned = self._pairs(snapshot, mine, learned)

    def _pairs(self, snapshot: Snapshot, mine: Histories, learned: Array) -> Array:
        """(P,) listener and song, in the candidate's numbering, of each event that the parent has learned from."""
        was, now = common(self._cascade.snapshot.ids["User"].to_list(), snapshot.ids["User"].to_list())
        user = np.full(mine.users, -1, dtype=np.int64)
        user[was] = now
        users, songs = user[mine.user[learned]], self._theirs[mine.song[learned]]
        known = (users >= 0) & (songs >= 0)
        return np.unique(users[known] * snapshot.songs + songs[known])

    def unlearned(self, truth: Truth) -> list[tuple[int, Array]]:
        """The truth without what the parent has learned from: a log without times is cut by places, which change with
        the numbering."""
        size = len(self._mine)
        kept = ((user, songs[~np.isin(user * size + songs, self._learned)]) for user, songs in truth)
        return [(user, songs) for user, songs in kept if len(songs)]

    def songs(self, query: Query) -> Array:
        """The parent's slate (n,) for a query of the candidate, as positions among the candidate's songs."""
        found = self._theirs[self._cascade.slate(self.query(query), SLATE).songs]
        return found[found >= 0]

    def query(self, query: Query) -> Query:
        """The candidate's query as the parent would have it."""
        asks, view = query.listener, self._cascade.snapshot
        places = self._mine[asks.song]
        known = places >= 0
        user = view.ids["User"].index(asks.user_id) if asks.user_id is not None else -1
        action, at, count = (values[known] for values in (asks.action, asks.at, asks.count))
        listener = Listener(view, user, places[known], action, at, count, asks.user_id)
        return self._cascade.ask(listener, query.at)


def compare(learner: Learner, folder: Path, parent: Release, metric: str) -> Paired | None:
    """The release in `folder` against its parent on the same listeners and held-out songs; None without any.

    Raises: as `Parent`.
    """
    release = Release.open(folder).measured()
    known, truth, at = learner.measured(release)
    other = Parent(parent, release.snapshot, learner.split(release.snapshot))
    candidate = learner.candidate(known)
    boards = measure(
        known.snapshot,
        other.unlearned(truth),
        at,
        {"candidate": lambda query: candidate.slate(query, SLATE).songs, "parent": other.songs},
        candidate.ask,
        tick=learner.tick("compare"),
    )
    return Paired.of(metric, boards["candidate"].values(metric), boards["parent"].values(metric))


def default_scene(manifest: Mapping[str, Any]) -> SceneConfig:
    """The scene that is measured, as a release was made with it, without time budget and without heard songs.

    Raises: CorruptRelease if the manifest does not hold it; SettingsError.
    """
    try:
        told = dict(manifest["settings"]["scenes"][DEFAULT_SCENE])
        uses = {name: ChannelUse(**_known(ChannelUse, use)) for name, use in told.pop("channels").items()}
        for kind in ("rankers", "rerankers"):
            told[kind] = {name: UnitUse(**_known(UnitUse, use)) for name, use in told.get(kind, {}).items()}
        scene = SceneConfig(**_known(SceneConfig, told), channels=uses)
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptRelease(f"its manifest does not say what the scene {DEFAULT_SCENE} was ({error})") from error
    return replace(unhurried(scene), heard="never")


def _known(type_: type[SceneConfig | ChannelUse | UnitUse], told: Mapping[str, Any]) -> dict[str, Any]:
    """Without fields that have gone since the release was made; JSON knows no tuples."""
    names: Sequence[str] = [f.name for f in fields(type_)]
    return {k: tuple(v) if isinstance(v, list) else v for k, v in told.items() if k in names}


def _fold(release: Release) -> Array:
    """(events,) what each event of a release was for, by the cuts that it was made with.

    Raises: CorruptRelease if the manifest does not say them.
    """
    try:
        learning = release.manifest["settings"]["learning"]
        shares = {name: learning[name] for name in ("rank_share", "measure_share", "seed")}
    except (KeyError, TypeError) as error:
        raise CorruptRelease(f"its manifest does not say how the log was cut ({error})") from error
    return cut(release.snapshot, **shares).subset
