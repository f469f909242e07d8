"""Songs with the most listeners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graph.release import Release
from recall.base import UNTIL_CHANGED, Candidates, Query, Ranked
from recall.listeners.listener import Listener
from recall.listeners.preferences import listeners


@dataclass(frozen=True)
class PopularityConfig:
    """Nothing to set."""


class Popularity:
    """Songs by how many listeners they have had; the yardstick for everything personal."""

    audience: ClassVar[str] = "everybody"
    in_memory: ClassVar[bool] = True
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    def __init__(self, release: Release, config: PopularityConfig = PopularityConfig()) -> None:  # noqa: ARG002
        self._ranked = Ranked(release.snapshot, listeners(release.snapshot).astype(float))

    def serves(self, listener: Listener) -> bool:  # noqa: ARG002
        return True

    def recall(self, query: Query, k: int) -> Candidates:
        return self._ranked.best(query, k)
