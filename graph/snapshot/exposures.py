"""What listeners were shown, in the order of the log: what rates and preferences are corrected by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import polars as pl

from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME
from graph.snapshot.ids import encode


@dataclass(frozen=True)
class Exposures:
    """Songs on slates; those of songs that the snapshot does not know are left out.

    Shapes: X exposures, every array (X,). `user` is a position among the users, -1 for somebody unnamed or unknown;
    `song` a position among the songs; `at` epoch milliseconds or -1; `place` on the slate from 0; `channel` a position
    in `channels`, -1 where none is named; `score` the ranker's, NaN where unknown; `offset` in the table of exposures.
    """

    user: Array
    song: Array
    at: Array
    place: Array
    channel: Array
    score: Array
    offset: Array
    channels: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.song)

    @property
    def last_offset(self) -> int:
        """Of the newest exposure, 0 for none."""
        return int(self.offset[-1]) if len(self) else 0

    def where(self, keep: Array) -> Exposures:
        """Those for which `keep` (X,) is true."""
        return replace(self, **{name: getattr(self, name)[keep] for name in _COLUMNS})

    @classmethod
    def none(cls) -> Exposures:
        return cls._of({name: np.empty(0, dtype=kind) for name, kind in _COLUMNS.items()}, ())

    @classmethod
    def of_frame(cls, frame: pl.DataFrame, users: pl.Series, songs: pl.Series) -> Exposures:
        """From rows of the log (`offset` and the fields of an exposure), in its order."""
        song = encode(frame["song_id"], songs)
        frame, song = frame.filter(pl.Series(song >= 0)), song[song >= 0]
        channels = frame["channel"].cast(pl.String).drop_nulls().unique().sort()
        columns = {
            "user": encode(frame["user_id"], users),
            "song": song,
            "at": frame["at"].fill_null(UNKNOWN_TIME).to_numpy(),
            "place": frame["position"].to_numpy(),
            "channel": encode(frame["channel"], channels),
            "score": frame["score"].fill_null(float("nan")).to_numpy(),
            "offset": frame["offset"].to_numpy(),
        }
        return cls._of({name: columns[name].astype(kind) for name, kind in _COLUMNS.items()}, channels.to_list())

    def arrays(self, prefix: str) -> dict[str, Array]:
        """As named arrays, for `write_arrays`; the names of `channels` go elsewhere."""
        return {f"{prefix}/{name}": getattr(self, name) for name in _COLUMNS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], prefix: str, channels: Sequence[str]) -> Exposures:
        return cls._of({name: arrays[f"{prefix}/{name}"] for name in _COLUMNS}, channels)

    @classmethod
    def _of(cls, columns: dict[str, Any], channels: Sequence[str]) -> Exposures:
        return cls(**columns, channels=channels)


_KINDS: Final = {"at": np.int64, "offset": np.int64, "score": np.float32}
_COLUMNS: Final = {f.name: _KINDS.get(f.name, np.int32) for f in fields(Exposures) if f.name != "channels"}
