"""What is loved near by more than elsewhere: songs of the cells around a listener, and their creators'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.durations import DAY_MS
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.snapshot import CELL_RESOLUTION, Snapshot
from recall.base import Candidates, Query
from recall.causes import NEAR_ARTIST, NEAR_CREATOR, NEARBY, REGION, REGION_ARTIST, REGION_CREATOR, Cause
from recall.decay import HALF_LIFE_MS, decay
from recall.geo.cell_sums import CellSums, Lasting
from recall.geo.cells import PREPARED, UNKNOWN_CELL, around, cell_at, homes, ring, spacing_km
from recall.grouped import csr_entries, isin_sorted, sum_by_key
from recall.listeners.listener import Listener
from recall.live.counters import Counters
from recall.live.since import EventsSinceRelease, whereabouts

WIDER: Final = 3
"""Resolutions from the cells that are looked at first to those of the second try: 343 of them in one."""
WORKS: Final = 200
"""Songs of one creator that are looked at, the most loved ones."""
OWN: Final = 1000
"""Latest events of a listener that say where the listener is."""
_NONE: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class LbsConfig:
    """What is near, and how much it counts.

    Raises: ValueError for a number out of range.
    """

    resolution: int = 7
    """H3 resolution of the cells (7: about 5 square kilometres); nothing is kept finer."""
    rings: int = 20
    """Rings of cells around the listener's own that are added at most, 0 or more."""
    enough: int = 200
    """Songs at which no further ring is added, 1 or more."""
    half_km: float = 5.0
    """Kilometres at which what is heard weighs half, above 0."""
    half_life_days: float = 60.0
    """Days after which what was heard weighs half, above 0."""
    shrink: float = 5.0
    """Love, in full plays, that a song must have near by to be taken at its word, above 0."""
    creators: int = 20
    """Artists most loved near by whose songs count too, 0 or more."""
    by_creator: float = 0.2
    """Weight of these songs beside those that are loved near by themselves, 0 or more."""
    centres: int = 8
    """Cells of the listener's own events that are asked where the home is unknown, 1 or more."""

    def __post_init__(self) -> None:
        check_positive(self, "enough", "half_km", "half_life_days", "shrink", "centres")
        if not 0 <= self.resolution <= CELL_RESOLUTION:
            raise ValueError(f"resolution must be 0 to {CELL_RESOLUTION} (got {self.resolution})")
        for name in ("rings", "creators", "by_creator"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0 (got {getattr(self, name)})")


@dataclass(frozen=True)
class Nearby:
    """Songs (n,), ascending, the decayed liking of each near the listener (n,), and its total over all songs; close
    (n,) is whether a song is liked in the fine cells too, and not in the wide ones around them alone."""

    songs: Array
    loves: Array
    total: float
    close: Array


class Lbs:
    """Songs that are loved in the cells around a listener more than everywhere, the nearer and the later the more.

    With n the love for a song near by, T that for all songs there and q the song's share of all love everywhere,

        score = n x ln((n + shrink) / (T q + shrink))

    which is what the song tells of the place (its part of the divergence between here and everywhere), shrunk where
    there is little to go by. Creators score by the sum over their songs, shared out among those by their fame.
    Source: shrinkage after Koren 2008 and the G statistic of Dunning 1993, Accurate methods for the statistics of
    surprise and coincidence.
    """

    audience: ClassVar[str] = "listeners whose home is known"
    in_memory: ClassVar[bool] = True

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],  # noqa: ARG003
        config: LbsConfig,
        folder: Path,
        *,
        rng: np.random.Generator,  # noqa: ARG003
    ) -> None:
        home, given = homes(snapshot, config.resolution)
        write_arrays(folder / "homes", {"home": home, "given": given}, {"resolution": config.resolution})

    def __init__(
        self, release: Release, config: LbsConfig = LbsConfig(), known: tuple[Array, Array] | None = None
    ) -> None:
        """`known` are the homes (see `recall.geo.cells.homes`) that take the place of those that were prepared."""
        self._config, self._snapshot = config, release.snapshot
        self._resolution = config.resolution
        if known is None:
            arrays, meta = release.arrays(PREPARED)
            # a release that was made at another resolution serves at the wider of the two
            self._resolution = min(config.resolution, int(meta["resolution"]))
            known = arrays["home"], arrays["given"]
        self._home, self._given = around(known[0], self._resolution), known[1]
        performed, uploaded = (release.snapshot.relation(name) for name in ("PERFORMED_BY", "UPLOADED"))
        artists = (performed.indptr, performed.indices), (performed.reverse_indptr, performed.reverse_indices)
        people = (uploaded.reverse_indptr, uploaded.reverse_indices), (uploaded.indptr, uploaded.indices)
        # each (creators of a song, songs of a creator), as CSR
        self._makers = {"Artist": artists, "User": people}

    def serves(self, listener: Listener) -> bool:
        return listener.user >= 0 and bool(self._home[listener.user] != UNKNOWN_CELL)

    def count(self, counters: Counters) -> None:
        """Both kinds of cells: few listeners live where the wide ones are asked for."""
        for resolution in (self._resolution, self._resolution - WIDER):
            if resolution >= 0:
                self._sums(counters, resolution)
        counters.events("since", EventsSinceRelease)

    def recall(self, query: Query, k: int) -> Candidates:
        parts = self._parts(query)
        songs, scores = _summed([(songs, scores) for _, _, songs, scores in parts])
        kept = scores > 0
        return Candidates.permitted(songs[kept], scores[kept], query, k)

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """What weighs most for each of these songs, None where nothing does."""
        best: dict[int, tuple[float, Cause]] = {}
        wanted = set(songs.tolist())
        for causes, which, found, scores in self._parts(query):
            for one, song, score in zip(which.tolist(), found.tolist(), scores.tolist(), strict=True):
                if song in wanted and score > best.get(song, (0.0, causes[one]))[0]:
                    best[song] = score, causes[one]
        return [best[song][1] if song in best else None for song in songs.tolist()]

    def _parts(self, query: Query) -> list[tuple[list[Cause], Array, Array, Array]]:
        """Causes, and which (n,) of them speaks for songs (n,), by how much (n,)."""
        near = self.nearby(query)
        if near is None:
            return [([], _NONE, _NONE, np.empty(0))]
        sums = self._sums(query.live.counters, self._resolution)
        told = log_likelihood_lift(near.loves, near.total * sums.share(near.songs), self._config.shrink)
        parts = [([Cause(REGION), Cause(NEARBY)], near.close.astype(np.int64), near.songs, told)]
        for label in self._makers:
            creators, close, which, works, scores = self._by_creators(query, near, sums, label)
            causes = [_by(label, *pair) for pair in zip(creators.tolist(), close.tolist(), strict=True)]
            parts.append((causes, which, works, scores))
        return parts

    def nearby(self, query: Query) -> Nearby | None:
        """What is loved around the listener, as much as in the nearest cells where anything is; None where nobody knows
        where that is, or nothing is loved there."""
        centres = self._centres(query)
        songs, loves, total, nearest = np.empty(0, dtype=np.int64), np.empty(0), 0.0, 0.0
        fine = songs
        for resolution, step, fade in self._rings() if centres else ():
            sums, parts = self._sums(query.live.counters, resolution), [(songs, loves)]
            wide = resolution < self._resolution
            for middle, (_, weight) in zip(self._wider(centres, resolution), centres, strict=True):
                for cell in filter(sums.__contains__, ring(middle, step)):
                    found, there = sums.of(cell, query.at)
                    if wide:  # the fine cells lie in the wide ones: their songs have been counted
                        new = ~isin_sorted(found, fine)
                        found, there = found[new], there[new]
                    if len(found):
                        nearest = nearest or fade
                        parts.append((found, there * (weight * fade / nearest)))
                        here = float(there.sum()) if wide else sums.total(cell, query.at)
                        total += here * (weight * fade / nearest)
            if len(parts) > 1:
                songs, loves = parts[1] if len(parts) == 2 and not len(songs) else _summed(parts)
                fine = fine if wide else songs
                if int(query.permits(songs).sum()) >= self._config.enough:
                    break
        return Nearby(songs, loves, total, isin_sorted(songs, fine)) if len(songs) else None

    def _wider(self, centres: list[tuple[int, float]], resolution: int) -> list[int]:
        if resolution == self._resolution:
            return [cell for cell, _ in centres]
        found: list[int] = around(np.array([cell for cell, _ in centres]), resolution).tolist()
        return found

    def _rings(self) -> Iterator[tuple[int, int, float]]:
        """Ring after ring, first of fine cells and then of wide ones around those: resolution, steps from the middle,
        and what is so far away weighs."""
        beyond = 1.0
        for resolution in (self._resolution, self._resolution - WIDER):
            if resolution >= 0:
                spacing = spacing_km(resolution)
                halvings = spacing / max(self._config.half_km, spacing)  # the next ring counts, wide as it may be
                for step in range(self._config.rings + 1):
                    yield resolution, step, beyond * 2.0 ** (-step * halvings)
                beyond *= 2.0 ** (-self._config.rings * halvings)

    def _centres(self, query: Query) -> list[tuple[int, float]]:
        """The cells that a listener is asked for, with their weights, which add up to 1."""
        listener, resolution = query.listener, self._resolution
        if query.latitude is not None and query.longitude is not None:  # `query.placed`, which mypy cannot read
            return [(cell_at(query.latitude, query.longitude, resolution), 1.0)]
        if listener.user < 0:
            return []
        if self._given[listener.user]:
            return [(int(self._home[listener.user]), 1.0)]
        at, own = whereabouts(query.listener.snapshot.histories, query.live.counters, listener.user, OWN)
        cells = around(own, resolution)
        weights = decay(at, query.at, HALF_LIFE_MS) * (cells != UNKNOWN_CELL)
        known, total = _summed([(cells, weights)])
        best = np.argsort(-total, kind="stable")[: self._config.centres]
        best = best[total[best] > 0]
        return list(zip(known[best].tolist(), (total[best] / total[best].sum()).tolist(), strict=True))

    def _by_creators(self, query: Query, near: Nearby, sums: CellSums, label: str) -> tuple[Array, ...]:
        """The artists or uploaders (`label`) whose songs are loved near by, the most loved first: positions (C,), and
        whether a song of theirs is loved close by (C,); and which (n,) of them made songs (n,), and their scores (n,).
        """
        config, ((made_by, creators), (has_made, works)) = self._config, self._makers[label]
        known = near.songs < len(made_by) - 1
        which, at = csr_entries(made_by, near.songs[known])
        found, loves = sum_by_key(creators[at], near.loves[known][which])
        best = np.argsort(-loves, kind="stable")[: config.creators]
        chosen, loves = found[best], loves[best]
        close = np.isin(chosen, creators[at][near.close[known][which]])
        of, at = csr_entries(has_made, chosen)
        songs = works[at].astype(np.int64)
        if label == "Artist":
            new = query.live.songs
            late, by = np.nonzero(new.artist[:, None] == chosen[None, :])
            of, songs = np.concatenate([of, by]), np.concatenate([songs, new.first + late])
        share = sums.share(songs)
        expected = near.total * np.bincount(of, share, len(chosen))
        score = config.by_creator * np.maximum(log_likelihood_lift(loves, expected, config.shrink), 0.0)
        kept = _most_loved(of, share, len(chosen))
        of, songs, share = of[kept], songs[kept], share[kept]
        highest = np.zeros(len(chosen))
        np.maximum.at(highest, of, share)
        # a song that nobody has heard is worth a little too, or nobody would ever hear it
        fame = share + 0.01 * highest[of] + 1e-12
        return chosen, close, of, songs, score[of] * fame / np.bincount(of, fame, len(chosen))[of]

    def _sums(self, counters: Counters, resolution: int) -> CellSums:
        """The live sums by cell of a resolution, shared by all who count with the same half-life."""
        half_life, snapshot = self._config.half_life_days * DAY_MS, self._snapshot

        def make() -> CellSums:
            home = around(self._home, resolution)

            def cell(events: Any) -> Array:
                there = around(events.cell, resolution)
                user = np.asarray(events.user)
                at_home = np.append(home, UNKNOWN_CELL)[np.where(user >= 0, user, len(home))]
                return np.where(there == UNKNOWN_CELL, at_home, there)

            return CellSums(snapshot.songs, Lasting.of(snapshot, half_life), cell)

        return counters.events(("cells", resolution, half_life), make)


def _by(label: str, creator: int, close: bool) -> Cause:
    """That a creator is loved; people are named to those only who follow them."""
    if label == "Artist":
        return Cause(NEAR_ARTIST if close else REGION_ARTIST, label, creator)
    return Cause(NEAR_CREATOR if close else REGION_CREATOR)


def log_likelihood_lift(loves: Array, expected: Array, shrink: float) -> Array:
    """(n,) n log((n + shrink) / (e + shrink)) of the observed liking n and the `expected` e; 0 where they are equal."""
    return np.asarray(loves * np.log((loves + shrink) / (expected + shrink)))


def _most_loved(of: Array, share: Array, creators: int) -> Array | slice:
    """Where the `WORKS` songs of each creator with the highest share stand."""
    crowded = np.flatnonzero(np.bincount(of, minlength=creators) > WORKS)
    if not len(crowded):
        return slice(None)
    kept = np.ones(len(of), dtype=bool)
    for creator in crowded.tolist():
        mine = np.flatnonzero(of == creator)
        kept[mine[np.argpartition(-share[mine], WORKS)[WORKS:]]] = False
    return kept


def _summed(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """The unique keys (n,), ascending, and the sum (n,) of each key's values in all parts."""
    return sum_by_key(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
