"""What was deleted on purpose: it comes back by a single edit that makes it again, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import polars as pl

from graph.log.events import EventLog
from graph.schema import Relationship

_NO_IDS: Final[Mapping[str, int]] = {}


class Tombstones:
    """The nodes that single edits deleted and did not make again since, by label and id, with the offset of the log at
    which each was deleted.

    Of a song that was deleted no event counts any more. Somebody who was deleted is somebody new from then on: later
    events count.
    """

    def __init__(self, deleted: Mapping[tuple[str, str], int]) -> None:
        self._deleted: dict[str, dict[str, int]] = {}
        for (label, id_), offset in deleted.items():
            self._deleted.setdefault(label, {})[id_] = offset

    @classmethod
    def of(cls, log: EventLog) -> Self:
        """Those of a log.

        Raises: StoreUnavailable.
        """
        return cls(log.deletions())

    def __bool__(self) -> bool:
        return bool(self._deleted)

    def count(self, label: str) -> int:
        """How many of a label were deleted."""
        return len(self._deleted.get(label, _NO_IDS))

    def nodes(self, label: str, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table of nodes (`id`) that were not deleted."""
        return self._without(frame, label, "id")

    def edges(self, relationship: Relationship, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table of relations (`source`, `target`) between nodes that were not deleted."""
        return self._without(self._without(frame, relationship.source, "source"), relationship.target, "target")

    def exposures(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table of exposures that name nothing deleted."""
        return self._without(self._without(frame, "Song", "song_id"), "User", "user_id")

    def events(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table of events that name nothing deleted; with a column `offset` those of a listener count
        that came after the deletion."""
        frame = self._without(frame, "Song", "song_id")
        gone = self._deleted.get("User", _NO_IDS)
        if not gone or "offset" not in frame.columns:
            return self._without(frame, "User", "user_id")
        table = pl.DataFrame(
            {"user_id": list(gone), "_deleted": list(gone.values())},
            schema={"user_id": pl.String, "_deleted": pl.Int64},
        )
        told = frame.join(table, on="user_id", how="left", maintain_order="left")
        return told.filter(pl.col("_deleted").is_null() | (pl.col("offset") > pl.col("_deleted"))).drop("_deleted")

    def _without(self, frame: pl.DataFrame, label: str, column: str) -> pl.DataFrame:
        gone = self._deleted.get(label, _NO_IDS)
        if not gone or column not in frame.columns:
            return frame
        return frame.filter(pl.col(column).is_null() | ~pl.col(column).is_in(list(gone)))
