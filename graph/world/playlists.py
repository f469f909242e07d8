"""Playlists: those that were there when the world began, and what listeners add to theirs as it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from graph.durations import DAY_MS
from graph.world.behaviour import ACTIONS
from graph.world.catalogue import Catalogue
from graph.world.model import WorldConfig
from graph.world.people import People
from graph.world.simulate import Ids, Rows

Array = npt.NDArray[Any]


def initial(config: WorldConfig, c: Catalogue, p: People) -> pl.DataFrame:
    """Lists made before the first day: columns user, interest, song, at. Two in five listeners have one, of 8 to 25.

    Its songs are drawn by exp(8 cos(interest, song) + quality + log prior / 2) from those there were, in random order.
    """
    rng = np.random.default_rng([config.seed, 6])
    there = np.flatnonzero(c.song_uploaded < config.start)
    base = c.song_quality[there] + 0.5 * np.log(c.song_prior[there])
    columns: dict[str, list[Array]] = {"user": [], "interest": [], "song": [], "at": []}
    for u in np.flatnonzero((rng.random(config.users) < 0.4) & (p.joined < config.start - 30 * DAY_MS)):
        size = min(int(rng.integers(8, 26)), len(there) // 2)
        k = int(rng.integers(p.interests[u]))
        logits = 8.0 * (c.song_vec[there] @ p.interest_vec[u, k]) + base + rng.gumbel(size=len(there))
        chosen = rng.permutation(np.argpartition(-logits, size)[:size])
        columns["user"].append(np.full(size, u))
        columns["interest"].append(np.full(size, k))
        columns["song"].append(there[chosen])
        columns["at"].append(config.start - 20 * DAY_MS + np.sort(rng.integers(0, 19 * DAY_MS, size)))
    return pl.DataFrame({name: np.concatenate(c) if c else np.empty(0, np.int64) for name, c in columns.items()})


def playlist_tables(first: pl.DataFrame, rows: Rows, ids: Ids) -> dict[str, pl.DataFrame]:
    """`playlists playlist_song user_playlist`: a list for each interest a listener has made one for."""
    e = rows.events
    added = np.flatnonzero(e["action"] == ACTIONS.index("playlist_add"))
    later = {"user": e["user"], "interest": e["interest"].astype(np.int64), "song": e["song"], "at": e["at"]}
    both = pl.concat([first, pl.DataFrame({name: column[added] for name, column in later.items()})])
    both = both.sort("user", "interest", "at", maintain_order=True).unique(
        ["user", "interest", "song"], keep="first", maintain_order=True
    )
    lists = both.select("user", "interest").unique(maintain_order=True).with_row_index("list")
    both = both.join(lists, on=["user", "interest"], maintain_order="left").with_columns(
        position=pl.int_range(pl.len()).over("list"),
        playlist_id="l" + pl.col("list").cast(pl.String).str.zfill(6),
    )
    list_ids = "l" + lists["list"].cast(pl.String).str.zfill(6)
    return {
        "playlists": pl.DataFrame({"id": list_ids, "name": "List " + (lists["interest"] + 1).cast(pl.String)}),
        "playlist_song": pl.DataFrame(
            {
                "playlist_id": both["playlist_id"],
                "song_id": ids.songs.gather(both["song"]),
                "position": both["position"].cast(pl.Int64),
                "at": both["at"],
            }
        ),
        "user_playlist": pl.DataFrame({"user_id": ids.users.gather(lists["user"]), "playlist_id": list_ids}),
    }
