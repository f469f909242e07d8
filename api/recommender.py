"""A release bound to the log that goes on behind it: what the command line and REST both answer from."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import structlog

from api.notes import KeptBack, history_note, joined
from api.settings import Settings
from api.similar import Similar
from api.without import meant, readings
from embeddings.vectors.model_vectors import models_in
from graph.errors import InvalidInput, NotInRelease, NotWritable, SegueError, UnknownSong
from graph.log.events import EventLog
from graph.release import Release, Releases
from ranking.cascade import NOTHING, Cascade, Slate
from ranking.reasons import Reasons
from ranking.scene import SceneConfig, unhurried
from ranking.what_if import what_if
from recall.base import Channel, Counts, Query
from recall.discovery import channel_type
from recall.listeners.kept import KeptListeners
from recall.listeners.listener import Listener
from recall.live.counters import Counters
from recall.live.live import Live, Overlay
from recall.similarity.sources import FUSION

_log = structlog.get_logger(__name__)
SCENE: Final = "radio"
REASONS: Final = 3  # of each song of a slate
WHY: Final = 10  # of a song that somebody asks about
WARM_S: Final = 120.0
TOLD: Final = 20_000
"""Songs whose titles and artists are kept as texts, at most."""
RENEW_S: Final = 60.0
"""Seconds at least between two swaps because something was taken out of the log: each costs as much as a start."""
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SlateRequest:
    """One request for a slate; `at` is epoch milliseconds, None the clock's time."""

    user_id: str | None = None
    session: Sequence[str] = ()
    scene: str = SCENE
    n: int | None = None
    at: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    exclude: Sequence[str] = ()
    explain: bool = False


class Cascades(Mapping[str, Cascade]):
    """The cascades of a release by their scenes, each made when it is first asked for.

    Raises (when one is made): SettingsError; CorruptRelease.
    """

    def __init__(self, release: Release, scenes: Mapping[str, SceneConfig]) -> None:
        self._release, self._scenes = release, scenes
        self._made: dict[str, Cascade] = {}
        self._making = threading.Lock()

    def __getitem__(self, scene: str) -> Cascade:
        if scene not in self._made:
            with self._making:
                if scene not in self._made:
                    self._made[scene] = Cascade(self._release, self._scenes[scene], scene)
        return self._made[scene]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scenes)

    def __len__(self) -> int:
        return len(self._scenes)

    def build(self) -> None:
        """Make them all."""
        for scene in self:
            self[scene]

    def counts(self) -> list[Callable[[Counters], object]]:
        """What asks for all that those made so far count of the log."""
        channels = [channel for cascade in self._made.values() for channel in cascade.channels.values()]
        return [channel.count for channel in channels if isinstance(channel, Counts)]


class ServingState:
    """Everything that answers from one release; replaced as a whole when another one is activated."""

    def __init__(self, release: Release, settings: Settings, log: EventLog | None, budgeted: bool = True) -> None:
        self.release = release
        self.reasons = Reasons(release, settings.reasons.never_cited)
        scenes = settings.scene_configs()
        if not budgeted:
            scenes = {name: unhurried(scene) for name, scene in scenes.items()}
        self.cascades = Cascades(release, scenes)
        self._log = log
        if budgeted:  # a service finds out at its start whether the release has what its scenes look up
            self.cascades.build()
            self.live.check()
        self.note = history_note(release, scenes.values())
        self.similar = Similar(release)
        self._others: dict[str, Channel] = {}
        self._told: dict[int, dict[str, Any]] = {}

    @cached_property
    def live(self) -> Live:
        """The log that goes on behind the release: read when it is first asked for, for the scenes made by then."""
        return Live(self.release, self._log, self.cascades.counts())

    @cached_property
    def listeners(self) -> KeptListeners:
        """The listeners who asked last, kept for all scenes together."""
        return KeptListeners(self.release.snapshot, self.live.latest)

    def warm(self, at: int) -> None:
        """Read the release once, and have every channel of every scene answer the busiest listener.

        What a channel counts when it is first asked (the cells of LBS, say) would else hold up the first requests. A
        channel that has not done after `WARM_S` seconds goes on beside them.
        """
        deadline = time.perf_counter() + WARM_S
        self.release.touch()
        snapshot = self.release.snapshot
        self.similar.warm()
        if not snapshot.users:
            return
        busiest = snapshot.ids["User"][int(np.diff(snapshot.histories.indptr).argmax())]
        for cascade in self.cascades.values():
            left_ms = max(deadline - time.perf_counter(), 1.0) * 1000
            cascade.warm(cascade.query(busiest, at, overlay=self.live.overlay), left_ms)

    def told(self, song: int, live: Overlay) -> dict[str, Any]:
        """Id, title and artists of a song; of one in the release looked up once."""
        if song >= live.songs.first:
            return self._described(song, live)
        if (known := self._told.get(song)) is None:
            if len(self._told) >= TOLD:
                self._told.clear()
            known = self._told[song] = self._described(song, live)
        return known

    def _described(self, song: int, live: Overlay) -> dict[str, Any]:
        snapshot, new = self.release.snapshot, live.songs
        if song < new.first:
            title, artists = snapshot.name("Song", song), snapshot.relation("PERFORMED_BY").of(song)
        else:
            title, artists = new.title(song - new.first), new.entities["PERFORMED_BY"][song - new.first]
        return {
            "song_id": live.song_id(song),
            "title": title,
            "artists": [snapshot.name("Artist", int(artist)) for artist in artists],
        }

    def channel(self, name: str, cascade: Cascade) -> Channel:
        """A channel of the scene, or another one that ships, with its defaults.

        Raises: SettingsError for an unknown name; NotInRelease if the release was made without what it looks up.
        """
        if name in cascade.channels:
            return cascade.channels[name]
        if name not in self._others:
            kind = channel_type(name)
            for model in sorted(set(kind.vectors) - set(models_in(self.release))):
                how = f"set embed.{model}.enabled = true and run `segue refresh`"
                raise NotInRelease(f"channel {name}: the release has no vectors of {model} ({how})")
            if self.release.has(f"recall/{name}/{NOTHING}"):
                raise NotInRelease(f"channel {name}: there was nothing to learn from when the release was made")
            if kind.prepares and not self.release.names(f"recall/{name}"):
                how = f"give a scene the channel ([scenes.NAME.channels.{name}]) and run `segue refresh`"
                raise NotInRelease(f"channel {name}: the release was made without it ({how})")
            self._others[name] = kind.build(self.release)
        return self._others[name]


class Recommender:
    """Answers recommend, recall, similar and explain; safe to share between threads.

    Raises (when made, and from `reload`): ReleaseNotFound before the first release; CorruptRelease; SettingsError.
    """

    def __init__(
        self,
        settings: Settings,
        log: EventLog | None,
        expose: Callable[[Sequence[Mapping[str, Any]]], object] | None = None,
        *,
        budgeted: bool = True,
    ) -> None:
        """`expose` takes each slate's exposures; without it they go to the log before the slate is answered. Unless
        `budgeted` every channel is waited for: a process that answers once reads much of the release on the way."""
        self._settings, self._log = settings, log
        self._expose_to = expose or (log.append_exposures if log is not None else None)
        self._releases = Releases(settings.releases.dir)
        self._reloading, self._swapped = threading.Lock(), -math.inf
        self._clock = settings.clock or self._hint()
        self._budgeted = budgeted
        self._served = ServingState(self._releases.open(), settings, log, budgeted)
        self.kept_back = KeptBack(self._releases)
        self.kept_back.check()

    def warm(self) -> None:
        """Before the first request: see `ServingState.warm`."""
        self._served.warm(self.now(self._served))

    @property
    def served(self) -> ServingState:
        """What answers now; hold on to it for the length of one request."""
        return self._served

    def reload(self) -> bool:
        """Look for a release that is kept back, open the one that is current now, if it is another one or if something
        was taken out of the log, warm it and swap it in; whether it did.

        The old one answers until then, and goes on if the new one cannot be opened.
        """
        self.kept_back.check()
        current = self._releases.current()
        outdated = self._served.live.outdated and time.monotonic() - self._swapped > RENEW_S
        same = current == self._served.release.id and not outdated
        if current is None or same or not self._reloading.acquire(blocking=False):
            return False
        try:
            served = ServingState(self._releases.open(current), self._settings, self._log, self._budgeted)
            served.warm(self.now(served))
            if self._releases.current() != current:
                return False  # rolled back meanwhile; the next look takes up what is current then
            served.live.check()  # what came while it was warmed
            self._served, self._swapped = served, time.monotonic()
            _log.info("release swapped", release=current)
        except SegueError as error:
            _log.error("release not swapped", release=current, reason=str(error))
            return False
        finally:
            self._reloading.release()
        return True

    def now(self, served: ServingState, newest: int = -1) -> int:
        """The time of a query without one: the clock's, or the data's newest event for old data."""
        wall = int(time.time() * 1000)
        if self._clock is None:
            self._clock = self._hint()
        if self._clock != "data":
            return wall
        known = max(served.release.snapshot.as_of, newest)
        return known if known >= 0 else wall

    def _hint(self) -> str | None:
        """The clock that the log's sources ask for; None while the log cannot be opened."""
        try:
            return "data" if self._log is not None and self._log.get_meta("clock") == "data" else "wall"
        except NotWritable:
            return None

    def recommend(self, ask: SlateRequest, pause: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """A slate, logged as exposures; with a `note` where there is something to say of the release.

        `pause` is called every few milliseconds while reasons are looked for.

        Raises: InvalidInput for an unknown scene, or neither a listener nor a session.
        """
        served = self._served
        cascade = self._cascade(served, ask.scene)
        query = self._query(served, cascade, ask)
        slate = cascade.slate(query, ask.n)
        request_id = uuid.uuid4().hex
        self._expose(cascade, ask, query, slate, request_id)
        items = [self._item(served, query, slate, i) for i in range(len(slate.songs))]
        if ask.explain:
            reasons = served.reasons.of_slate(cascade, query, slate, REASONS, pause)
            for item, found in zip(items, reasons, strict=True):
                item["reasons"] = [reason.as_json() for reason in found]
        return {
            "request_id": request_id,
            "release": served.release.id,
            "items": items,
            "trace": [stage.as_json() for stage in slate.trace],
            **joined(served.note, slate.note or None, self.kept_back.note()),
        }

    def recall(self, user_id: str, channels: Sequence[str] = (), k: int = 100) -> dict[str, Any]:
        """Candidates of each channel of the default scene, or of the `channels` named, unmerged, at most `k` of each.

        Raises: SettingsError for an unknown channel.
        """
        served = self._served
        cascade = self._cascade(served, SCENE)
        asked = {name: served.channel(name, cascade) for name in channels} or cascade.channels
        query = self._query(served, cascade, SlateRequest(user_id=user_id))
        rows = []
        for name, channel in asked.items():
            found = channel.recall(query, k)
            rows += [
                {"song_id": query.live.song_id(int(song)), "channel": name, "rank": rank, "score": float(score)}
                for rank, (song, score) in enumerate(zip(found.songs, found.scores, strict=True), start=1)
            ]
        return {"release": served.release.id, "user_id": user_id, "candidates": rows}

    def similar(
        self,
        song_id: str,
        n: int = 10,
        by: str = FUSION,
        gamma: Mapping[str, float] | None = None,
        user_id: str | None = None,
    ) -> dict[str, Any]:
        """The songs nearest to one, with the gammas given instead of those it was trained with; for a listener none
        that is blocked or disliked.

        Raises: UnknownSong; InvalidInput for an unknown `by` or relation; NotInRelease.
        """
        served = self._served
        live = served.live.overlay
        listener = None if user_id is None else served.listeners.of(user_id, *live.edits.of_listener(user_id))
        return served.similar.songs(self._song(live, song_id), song_id, live, n, by, gamma, listener)

    def similar_entities(
        self,
        label: str,
        id_: str,
        n: int = 10,
        by: str = FUSION,
        gamma: Mapping[str, float] | None = None,
        user_id: str | None = None,
    ) -> dict[str, Any]:
        """The artists, tags or genres (`label`) nearest to one; for a listener none that is blocked.

        Raises: UnknownEntity; InvalidInput for an unknown `by` or relation; NotInRelease.
        """
        served = self._served
        places = served.live.overlay.edits.of_listener
        listener = None if user_id is None else served.listeners.of(user_id, *places(user_id))
        return served.similar.entities(label, id_, n, by, gamma, listener)

    def explain(self, user_id: str, song_id: str, most: int = WHY, without: str | None = None) -> dict[str, Any]:
        """The `most` strongest paths from a listener to a song.

        `without` = "TYPE:from_id:to_id" answers as if that relationship were not there: the paths without it, those
        that are `lost`, and what becomes of the song in the default scene (see `ranking.what_if`).
        Raises: UnknownSong; InvalidInput for a `without` that is no relationship.
        """
        found = [] if without is None else readings(without)
        served = self._served
        cascade = self._cascade(served, SCENE)
        query = self._query(served, cascade, SlateRequest(user_id=user_id))
        song = self._song(query.live, song_id)
        paths = served.reasons.of_song(query, song, most)
        answer = {"release": served.release.id, "user_id": user_id, "song_id": song_id}
        if without is None:
            return answer | {"paths": [reason.as_json() for reason in paths]}
        edge = meant(found, paths, query.live.edits)
        lost = [reason for reason in paths if edge in reason.edges()]
        kept = served.reasons.of_song(query, song, most, edge) if lost else paths
        return answer | {
            "paths": [reason.as_json() for reason in kept],
            "without": without,
            "lost": [reason.as_json() for reason in lost],
            **what_if(cascade, query, song, edge).as_json(),
        }

    def check_scene(self, scene: str) -> None:
        """Raises: InvalidInput for an unknown scene."""
        self._cascade(self._served, scene)

    def check_channel(self, name: str) -> None:
        """Raises: SettingsError for a name that is no channel's; one that the release lacks is none of that."""
        if name not in self._cascade(self._served, SCENE).channels:
            channel_type(name)

    def check_by(self, by: str) -> None:
        """Raises: InvalidInput for a name that things cannot be compared by; NotInRelease."""
        self._served.similar.check(by)

    # ---- inside

    def _cascade(self, served: ServingState, scene: str) -> Cascade:
        try:
            return served.cascades[scene]
        except KeyError:
            raise InvalidInput(f"unknown scene {scene!r} (known: {', '.join(served.cascades)})") from None

    def _song(self, live: Overlay, song_id: str) -> int:
        song = live.edits.song(song_id)
        if song < 0 or song in live.edits.removed:
            raise UnknownSong(f"unknown song {song_id!r}")
        return song

    def _query(self, served: ServingState, cascade: Cascade, ask: SlateRequest) -> Query:
        if ask.user_id is None and not ask.session:
            raise InvalidInput("expected user_id or session, got neither")
        live = served.live.overlay
        if ask.user_id is None:
            at = self.now(served) if ask.at is None else ask.at
            listener = Listener.of_session(cascade.snapshot, cascade.positions(ask.session), at)
        else:
            listener = served.listeners.of(ask.user_id, *live.edits.of_listener(ask.user_id))
            at = self.now(served, listener.newest) if ask.at is None else ask.at
        return cascade.ask(
            listener,
            at,
            extra=cascade.positions(ask.exclude, live),
            latitude=ask.latitude,
            longitude=ask.longitude,
            overlay=live,
        )

    def _item(self, served: ServingState, query: Query, slate: Slate, i: int) -> dict[str, Any]:
        return {
            **served.told(int(slate.songs[i]), query.live),
            "score": float(slate.scores[i]),
            "channels": slate.pool.provenance(int(slate.rows[i])),
            "reasons": [],
        }

    def _expose(self, cascade: Cascade, ask: SlateRequest, query: Query, slate: Slate, request_id: str) -> None:
        """Log the slate. Each slot's propensity is 1: the order is deterministic for a listener and a moment."""
        if self._expose_to is None:
            return
        rows = []
        for i, song in enumerate(slate.songs.tolist()):
            rows.append(
                {
                    "request_id": request_id,
                    "user_id": ask.user_id,
                    "song_id": query.live.song_id(song),
                    "position": i,
                    "at": query.at,
                    "scene": ask.scene,
                    "channel": slate.channel(i),
                    "score": float(slate.scores[i]),
                    "propensity": 1.0,
                    "policy": f"cascade:{cascade.scene.ranker}:{cascade.scene.reranker}",
                }
            )
        self._expose_to(rows)
