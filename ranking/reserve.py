"""How large a part of a slate answers to what the listener did a moment ago, learned on what followed in sessions.

For a moment at which a listener has just liked a song, the next songs of the same session that the listener loves are
known afterwards. A place given to the channel `latest` gains what it finds of them and loses what the slate's last
place would have found. The share is the one whose slates found the most, unless a smaller one is as good within the
standard error of their difference.

A slate of ten keeps 1 to 3 places. At least one, because a mean over all sessions hides those in which nothing else
answers at all: without a place, a play of a song far from a long history leaves the next ten songs as they were. At
most three, because a reserved song was found by one channel for one moment, and the order of the rest was learned from
everything that is known of the listener.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays

DEFAULT: Final = 0.1
"""The share until there is one to learn: one place of ten."""
MOST: Final = 0.3
"""The largest share that is learned."""
SLATE: Final = 10
"""Songs of the slates that teach."""
ANSWERING: Final = 10
"""Songs of a channel with reserved places that stay in the pool, however low they stand."""
LEAST_SESSIONS: Final = 30
"""Sessions below which nothing is learned."""


@dataclass(frozen=True)
class Reserve:
    """The `share` of a slate, of how many `sessions` it was learned, and the `reason` where it was not."""

    share: float = DEFAULT
    sessions: int = 0
    reason: str | None = None

    @classmethod
    def fit(cls, found: Array, none: str = "no session is long enough") -> Reserve:
        """From what share of the songs loved next a slate finds: found (A, C), for A moments with 0 to C - 1 of ten
        places kept.

        With fewer than `LEAST_SESSIONS` moments the share is `DEFAULT`; `none` is the reason where there is no moment.
        """
        if len(found) < LEAST_SESSIONS:
            reason = f"{len(found)} sessions of {LEAST_SESSIONS} that are needed" if len(found) else none
            return cls(sessions=len(found), reason=reason)
        places = np.arange(1, found.shape[1])
        best = int(places[np.argmax(found.mean(axis=0)[1:])])
        lost = found[:, [best]] - found[:, 1:]
        error = lost.std(axis=0, ddof=1) / np.sqrt(len(found))
        # the best one itself loses nothing, so there is a first
        as_good = places[lost.mean(axis=0) <= error]
        return cls(float(as_good[0]) / SLATE, len(found))

    def save(self, path: Path) -> None:
        """Write it for `load`."""
        write_arrays(path, {"share": np.array([self.share])}, {"sessions": self.sessions, "reason": self.reason})

    @classmethod
    def load(cls, release: Release, name: str) -> Reserve:
        """Raises: CorruptRelease if the release holds none."""
        arrays, meta = release.arrays(name)
        return cls(float(arrays["share"][0]), int(meta["sessions"]), meta["reason"])


def places_kept(reserve: float | None, share: float, n: int, kinds: int) -> int:
    """How many songs of a slate of `n` answer to what was done a moment ago, things of so many `kinds`.

    `reserve` is the share that the scene sets, None where it is learned: then it is `share`, one place for each kind at
    least, and `places_at_most`, so that a slate of fewer than four songs keeps none.
    """
    if reserve is not None:
        return min(max(round(reserve * n), 1), n - 1) if reserve > 0 else 0
    return min(max(round(share * n), kinds, 1), places_at_most(reserve, n))


def places_at_most(reserve: float | None, n: int) -> int:
    """How many songs of a slate of `n` may answer to what was done, and how many near to what was turned down may go:
    what the scene sets, else `MOST` of the slate."""
    return int(MOST * n + 1e-9) if reserve is None else places_kept(reserve, 0.0, n, 0)


def answering(rows: Array, answers: Array, ranks: Array, count: int) -> Array:
    """Rows (n,) of a slate with at least `count` songs that answer to what was done a moment ago, where there are any.

    answers (P,) says which recent action each song of the pool answers to, 0 the newest, -1 none; ranks (P,) in which
    order they do. Each of the newest `count` actions has a song; a song that is missing takes the place of the last
    that nothing lacks.
    """
    if not (answers >= 0).any():
        return rows
    kept = rows.tolist()
    for _ in range(count):
        served = np.bincount(answers[kept][answers[kept] >= 0], minlength=max(int(answers.max(initial=-1)) + 1, 1))
        able = np.setdiff1d(np.flatnonzero(answers >= 0), kept)
        lacking = [one for one in range(min(len(served), count)) if not served[one] and (answers[able] == one).any()]
        if lacking:
            able = able[answers[able] == lacking[0]]
        elif served.sum() >= count or not len(able):
            break
        spare = [i for i, row in enumerate(kept) if answers[row] < 0 or (lacking and served[answers[row]] > 1)]
        if not spare:
            break
        kept.pop(spare[-1])
        kept.append(int(able[np.argmin(ranks[able])]))
    return np.array(kept, dtype=rows.dtype)


def without_refused(rows: Array, refused: Array, scores: Array, count: int) -> Array:
    """Rows (n,) of a slate in which at most `count` songs near to what was just turned down, the last ones, give way to
    the best of the pool that are not: refused (P,) and scores (P,) are of the pool."""
    out = [i for i in range(len(rows) - 1, -1, -1) if refused[rows[i]]][:count]
    if not out:
        return rows
    able = np.setdiff1d(np.flatnonzero(~refused), rows)
    best = able[np.argsort(-scores[able], kind="stable")][: len(out)]
    return np.concatenate([np.delete(rows, out[: len(best)]), best]).astype(rows.dtype)


def loved_here(rows: Array, ranks: Array, scores: Array, count: int, needed: Array) -> Array:
    """Rows (n,) of a slate with at least `count` songs that are loved near the listener, where there are any: they take
    the places of its last, but not of those that are `needed` (m,).

    ranks (P,) are those of the pool's songs near by, -1 for others. Of the first `ANSWERING` the ones that the ranker
    `scores` (P,) highest come in: what a place loves is not yet what the listener loves.
    """
    wanted = count - int((ranks[rows] >= 0).sum())
    if wanted <= 0:
        return rows
    others = np.setdiff1d(np.flatnonzero(ranks >= 0), rows)
    others = others[np.argsort(ranks[others], kind="stable")]
    first = others[ranks[others] < ANSWERING]
    others = np.concatenate([first[np.argsort(-scores[first], kind="stable")], others[len(first) :]])
    best = others[:wanted]
    out = np.flatnonzero((ranks[rows] < 0) & ~np.isin(rows, needed))[::-1][: len(best)]
    return np.concatenate([np.delete(rows, out), best[: len(out)]]).astype(rows.dtype)


def next_loved(songs: Sequence[int], at: Sequence[int], within_ms: float) -> list[tuple[int, Array]]:
    """(i, other songs that were loved after the i-th one in its session), where there are any.

    `songs` (E,) are what one listener loved, `at` (E,) when, rising, in milliseconds; a pause of more than `within_ms`
    ends a session.
    """
    ends, last = np.empty(len(at), dtype=np.int64), len(at)
    for i in range(len(at) - 1, -1, -1):
        if i + 1 < len(at) and at[i + 1] - at[i] > within_ms:
            last = i + 1
        ends[i] = last
    found = []
    for i, song in enumerate(songs):
        later = np.unique(np.array(songs[i + 1 : ends[i]], dtype=np.int64))
        later = later[later != song]
        if len(later):
            found.append((i, later))
    return found
