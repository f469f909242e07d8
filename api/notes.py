"""What an answer has to say beside its songs: a release that learned from little, or a newer one that is kept back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from graph.release import Release, Releases
from ranking.scene import SceneConfig

Mark = tuple[str | None, int]


class KeptBack:
    """Knows whether a newer release is kept back, and reads the folder of all releases only when it has changed."""

    def __init__(self, releases: Releases) -> None:
        self._releases = releases
        self._mark: Mark | None = None
        self._found: tuple[str, str] | None = None

    def check(self) -> None:
        """Look again; cheap where no release was made, activated or pruned since the last time."""
        mark = self._look()
        if mark != self._mark:
            self._found, self._mark = self._releases.newer_kept_back(), mark

    def as_json(self) -> dict[str, str] | None:
        """Its id and why, as of the last `check`."""
        return None if self._found is None else {"release": self._found[0], "reason": self._found[1]}

    def note(self) -> str | None:
        """In a sentence; None if there is none."""
        return None if self._found is None else f"a newer release, {self._found[0]}, is kept back: {self._found[1]}"

    def _look(self) -> Mark:
        root = self._releases.root
        return self._releases.current(), root.stat().st_mtime_ns if root.is_dir() else 0


def history_note(release: Release, scenes: Iterable[SceneConfig]) -> str | None:
    """Says of a release without listening history, or with too little of it to learn from, what it lacks; None where
    it has enough: some scene has learned how to weigh its channels, or none was to."""
    histories = release.snapshot.histories
    if not len(histories):
        return (
            "there is no listening history yet: songs are found by attributes, by artists and people that are "
            "followed, and by freshness"
        )
    learned = any(name.endswith("/fusion") for name in release.names("ranking"))
    if learned or not any(scene.learns for scene in scenes):
        return None
    users = int(np.count_nonzero(np.diff(histories.indptr)))
    return (
        f"there is little listening history yet ({_counted(len(histories), 'event')} of {_counted(users, 'listener')})"
    )


def joined(*notes: str | None) -> dict[str, Any]:
    """The key `note` of an answer; no key where there is nothing to say."""
    said = [note for note in notes if note is not None]
    return {"note": "; ".join(said)} if said else {}


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
