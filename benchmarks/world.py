"""What the synthetic world is like: its marginals beside real data sets, and what simple recall methods find in it.

`python benchmarks/world.py [demo|large]` prints the figures of `docs/world.md`. Real data are read from SEGUE_DATA
(default `../shared/data` beside the repository) and left out, by name, where they are missing.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from graph.world import WorldConfig, generate

SIZES = {
    "demo": WorldConfig(users=500, songs=2000, events=60_000),
    "large": WorldConfig(users=5000, songs=20_000, events=1_000_000),
}
PLAYS = ("play", "full_play", "skip")
LOVES = ("collect", "like", "share")
DATA = Path(os.environ.get("SEGUE_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of counts, 0 for equal ones."""
    x = np.sort(np.asarray(counts, float))
    n = len(x)
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * x.sum()))


def top_share(counts: np.ndarray, share: float = 0.01) -> float:
    """Share of all counts that the largest `share` of items take."""
    x = np.sort(np.asarray(counts, float))[::-1]
    return float(x[: max(1, round(len(x) * share))].sum() / x.sum())


def unit_rows(m: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows scaled to length 1; empty ones stay so."""
    norm = np.sqrt(np.asarray(m.multiply(m).sum(1)).ravel())
    return sparse.diags(1.0 / np.maximum(norm, 1e-12)) @ m


def friends_overlap(m: sparse.csr_matrix, pairs: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """(mean cosine of the listening of friends, of random pairs)."""
    u = unit_rows(m).tocsr()
    other = rng.permutation(pairs[:, 1])
    return tuple(float(np.mean(u[pairs[:, 0]].multiply(u[b]).sum(1))) for b in (pairs[:, 1], other))  # type: ignore[return-value]


class Played:
    """A written world as matrices."""

    def __init__(self, path: Path) -> None:
        read = {p.stem: pl.read_parquet(p) for p in path.glob("*.parquet")}
        self.tables = read
        self.users = {x: i for i, x in enumerate(sorted(read["users"]["id"]))}
        self.songs = {x: i for i, x in enumerate(sorted(read["songs"]["id"]))}
        events = read["events"]
        self.events = events.with_columns(
            u=events["user_id"].replace_strict(self.users, return_dtype=pl.Int64),
            s=events["song_id"].replace_strict(self.songs, return_dtype=pl.Int64, default=None),
        )
        self.plays = self.events.filter(pl.col("action").is_in(PLAYS))
        self.shape = (len(self.users), len(self.songs))
        first, last = self.events["at"].min(), self.events["at"].max()
        self.cut = int(first + 0.9 * (last - first))  # type: ignore[operator]

    def matrix(self, frame: pl.DataFrame) -> sparse.csr_matrix:
        m = sparse.csr_matrix((np.ones(len(frame)), (frame["u"], frame["s"])), shape=self.shape)
        m.sum_duplicates()
        return m

    def codes(self, table: str, column: str, index: dict[str, int]) -> np.ndarray:
        return self.tables[table][column].replace_strict(index, return_dtype=pl.Int64).to_numpy()

    def incidence(self, table: str, column: str) -> sparse.csr_matrix:
        """songs x entities of a relation, counts."""
        t = self.tables[table]
        names = {x: i for i, x in enumerate(sorted(t[column].unique()))}
        rows = self.codes(table, "song_id", self.songs)
        return sparse.csr_matrix(
            (np.ones(len(t)), (rows, self.codes(table, column, names))), shape=(self.shape[1], len(names))
        )


def scorers(w: Played) -> dict[str, Any]:
    """Functions of a slice of listeners -> (listeners, songs) scores, learned from before the cut."""
    before = w.plays.filter((pl.col("at") < w.cut) & (pl.col("action") != "skip"))
    x = w.matrix(before)
    binary = x.sign()
    popular = np.asarray(w.matrix(before).sum(0)).ravel()
    recent = np.asarray(w.matrix(before.filter(pl.col("at") > w.cut - 7 * 86_400_000)).sum(0)).ravel()
    item = (unit_rows(binary.T.tocsr())).tocsr()
    cosine = item @ item.T
    parts = {name: w.incidence(f"song_{name}", f"{name}_id") for name in ("artist", "genre", "tag")}
    follow = w.tables["follows"].filter(pl.col("since") < w.cut)
    users = [follow[c].replace_strict(w.users, return_dtype=pl.Int64).to_numpy() for c in ("user_id", "followed_id")]
    follows = sparse.csr_matrix((np.ones(len(follow)), users), shape=(w.shape[0], w.shape[0]))
    loved = w.events.filter(
        (pl.col("at") < w.cut) & (pl.col("at") > w.cut - 14 * 86_400_000) & pl.col("action").is_in(LOVES)
    )
    loves = w.matrix(loved).sign()
    home = w.tables["user_place"].sort("user_id")["place_id"].rank("dense").to_numpy().astype(np.int64) - 1
    place = sparse.csr_matrix((np.ones(len(home)), (np.arange(len(home)), home)))
    by_place = (place.T @ x).toarray()
    tie = popular / (popular.sum() + 1e-9)  # orders what a method does not tell apart

    def affinity(name: str) -> Any:
        profile = unit_rows(sparse.csr_matrix(binary @ parts[name]))
        return lambda u: (profile[u] @ parts[name].T).toarray() + 0.1 * tie

    attribute = [affinity(name) for name in parts]
    return {
        "popularity": lambda u: np.tile(popular, (len(u), 1)),
        "recent popularity": lambda u: np.tile(recent, (len(u), 1)) + tie,
        "item cosine": lambda u: (binary[u] @ cosine).toarray() + tie,
        "artist affinity": attribute[0],
        "genre affinity": attribute[1],
        "tag affinity": attribute[2],
        "artist+genre+tag": lambda u: sum(a(u) * f for a, f in zip(attribute, (1.0, 0.5, 0.5), strict=True)),
        "followees' loves": lambda u: (follows[u] @ loves).toarray() + tie,
        "popularity in place": lambda u: by_place[home[u]] + tie,
        "genre popularity": lambda u: attribute[1](u) * np.log1p(popular),
        "random": lambda u: np.random.default_rng(0).random((len(u), w.shape[1])),
    }


def recall_table(w: Played, k: int = 50, *, rare: bool = False) -> list[dict[str, Any]]:
    """recall@k on songs new to the listener after the cut, for all and for those who follow at least 3.

    `rare`: among songs with 0 to 4 plays before the cut only.
    """
    after = w.plays.filter((pl.col("at") >= w.cut) & (pl.col("action") != "skip"))
    seen = w.matrix(w.plays.filter(pl.col("at") < w.cut)).sign().tocsr()
    new = w.matrix(after).sign()
    plays = w.matrix(w.plays.filter(pl.col("at") < w.cut)).sum(0)
    wanted = (np.asarray(plays).ravel() <= 4) if rare else np.ones(w.shape[1], bool)
    new = ((new - new.multiply(seen)) @ sparse.diags(wanted.astype(float))).tocsr()
    new.eliminate_zeros()
    history = np.asarray(seen.sum(1)).ravel()
    rows = np.flatnonzero((np.diff(new.indptr) > 0) & (history > 0))
    counts = w.tables["follows"].filter(pl.col("since") < w.cut)["user_id"].value_counts()
    degree = np.zeros(w.shape[0])
    degree[counts["user_id"].replace_strict(w.users, return_dtype=pl.Int64).to_numpy()] = counts["count"].to_numpy()
    there = (w.tables["songs"].sort("id")["uploaded_at"] <= w.cut + 6 * 86_400_000).to_numpy()
    out: list[dict[str, Any]] = []
    for name, score in scorers(w).items():
        recalls = []
        for low in range(0, len(rows), 256):
            u = rows[low : low + 256]
            s = np.asarray(score(u), float)
            s[seen[u].nonzero()] = -np.inf
            s[:, ~(there & wanted)] = -np.inf
            top = np.argpartition(-s, k, axis=1)[:, :k]
            hit = np.take_along_axis(new[u].toarray(), top, 1).sum(1)
            recalls.append(hit / np.diff(new.indptr)[u])
        r = np.concatenate(recalls)
        out.append(
            {
                "what": name,
                "recall@50": float(r.mean()),
                "recall@50, >= 3 followees": float(r[degree[rows] >= 3].mean()),
            }
        )
    base = out[0]["recall@50"]
    return [{**row, "x popularity": row["recall@50"] / base} for row in out]


def marginals(w: Played) -> dict[str, float]:
    """Figures of the plays, each a number without a unit but where its name says so."""
    counts = np.bincount(w.plays["s"].to_numpy(), minlength=w.shape[1])
    before = w.plays.filter(pl.col("at") < w.cut)
    early = np.bincount(before["s"].to_numpy(), minlength=w.shape[1])
    m = w.matrix(w.plays)
    gaps = w.plays.sort("u", "at").with_columns(gap=pl.col("at").diff().over("u"))
    sessions = gaps.select(((pl.col("gap").is_null()) | (pl.col("gap") > 1_800_000)).sum()).item()
    follow = w.tables["follows"]
    pairs = np.stack(
        [follow[c].replace_strict(w.users, return_dtype=pl.Int64).to_numpy() for c in ("user_id", "followed_id")], 1
    )
    friends, strangers = friends_overlap(m.sign().tocsr(), pairs, np.random.default_rng(0))
    actions = dict(w.events["action"].value_counts().iter_rows())
    shown = w.tables["exposures"]
    clicked = w.plays.filter(pl.col("request_id").is_not_null())
    artist = w.tables["song_artist"].sort("song_id")["artist_id"].rank("dense").to_numpy().astype(np.int64) - 1
    one = sparse.csr_matrix((np.ones(len(artist)), (np.arange(len(artist)), artist)))
    artist_m = sparse.csr_matrix(m @ one)
    af, ar = friends_overlap(artist_m.sign().tocsr(), pairs, np.random.default_rng(0))
    return {
        "events": len(w.events),
        "gini of song plays": gini(counts),
        "share of the top 1 % songs": top_share(counts),
        "gini of artist plays": gini(np.asarray(artist_m.sum(0)).ravel()),
        "share of the top 1 % artists": top_share(np.asarray(artist_m.sum(0)).ravel()),
        "songs with 0-4 plays before the cut": float(np.mean(early <= 4)),
        "plays of songs with 0-4 plays before the cut, after it": float(
            np.mean(early[w.plays.filter(pl.col("at") >= w.cut)["s"].to_numpy()] <= 4)
        ),
        "playbacks a session (30 min gap)": len(w.plays) / sessions,
        "repeat rate": 1 - m.nnz / len(w.plays),
        "gini of listeners' plays": gini(np.bincount(w.plays["u"].to_numpy(), minlength=w.shape[0])),
        "friends' song cosine": friends,
        "random pairs' song cosine": strangers,
        "friends' artist cosine": af,
        "random pairs' artist cosine": ar,
        "full plays a playback": actions["full_play"] / len(w.plays),
        "skips a playback": actions["skip"] / len(w.plays),
        "collects a playback": actions["collect"] / len(w.plays),
        "plays a shown slot": len(clicked) / len(shown),
        "followees a listener": len(follow) / w.shape[0],
    }


def real() -> dict[str, dict[str, float]]:
    """The same figures of the data sets at hand, as far as they have them."""
    out: dict[str, dict[str, float]] = {}
    folder = DATA / "lastfm-2k"
    if folder.is_dir():
        plays = pl.read_csv(folder / "user_artists.dat", separator="\t")
        pairs = pl.read_csv(folder / "user_friends.dat", separator="\t")
        users = {x: i for i, x in enumerate(sorted(plays["userID"].unique()))}
        items = {x: i for i, x in enumerate(sorted(plays["artistID"].unique()))}
        u = plays["userID"].replace_strict(users, return_dtype=pl.Int64).to_numpy()
        s = plays["artistID"].replace_strict(items, return_dtype=pl.Int64).to_numpy()
        m = sparse.csr_matrix((plays["weight"].to_numpy().astype(float), (u, s)), shape=(len(users), len(items)))
        pairs = pairs.filter(pl.col("userID").is_in(users) & pl.col("friendID").is_in(users))
        codes = [pairs[c].replace_strict(users, return_dtype=pl.Int64).to_numpy() for c in ("userID", "friendID")]
        friends, strangers = friends_overlap(m.sign().tocsr(), np.stack(codes, 1), np.random.default_rng(0))
        total, listeners = np.asarray(m.sum(0)).ravel(), np.diff(m.tocsc().indptr)
        out["lastfm-2k"] = {
            "gini of artist plays": gini(total),
            "share of the top 1 % artists": top_share(total),
            "artists with 0-4 listeners": float(np.mean(listeners <= 4)),
            "gini of listeners' plays": gini(np.asarray(m.sum(1)).ravel()),
            "repeat rate": 1 - m.nnz / float(total.sum()),
            "friends' artist cosine": friends,
            "random pairs' artist cosine": strangers,
            "followees a listener": len(pairs) / len(users),
        }
    file = DATA / "s3rec" / "LastFM.txt"
    if file.is_file():
        lines = [line.split()[1:] for line in file.read_text().splitlines()]
        counts = np.unique(np.array([x for line in lines for x in line]), return_counts=True)[1]
        out["s3rec LastFM"] = {
            "gini of artists' listeners": gini(counts),
            "share of the top 1 % artists": top_share(counts),
            "artists a listener": float(np.mean([len(line) for line in lines])),
        }
    file = DATA / "situnes" / "Stage1" / "interactions.csv"
    if file.is_file():
        t = pl.read_csv(file)
        out["situnes stage 1"] = {
            "rating >= 3": float((t["rating"] >= 3).mean()),  # type: ignore[arg-type]
            "mean heard (its duration column)": float(t["duration"].mean()),  # type: ignore[arg-type]
        }
    return out


def run() -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    rows: list[dict[str, Any]] = measured(("demo", "large"))["rows"]
    return rows


def measured(sizes: tuple[str, ...]) -> dict[str, Any]:
    """Generate, measure, compare; `rows` holds a line a figure."""
    result: dict[str, Any] = {"rows": [], "real": real()}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            generate(Path(folder) / "world", SIZES[size])
            seconds = time.perf_counter() - start
            w = Played(Path(folder) / "world")
            found = {"recall": recall_table(w), "rare songs": recall_table(w, rare=True)}
            result[size] = {"seconds": seconds, "marginals": marginals(w), **found}
        result["rows"].append(line(f"{size}: generate", seconds, "s"))
        for kind, table in found.items():
            base = table[0]["recall@50"]
            result["rows"] += [line(f"{size}, {kind}: {r['what']}", r["recall@50"], "recall@50", base) for r in table]
    return result


def line(what: str, ours: float, unit: str, peer: float | None = None) -> dict[str, Any]:
    """One row of the result; the peer is popularity, where there is one."""
    ratio, name = (None, None) if peer is None else (ours / peer, "popularity")
    row = {"what": what, "ours": ours, "peer": peer, "peer_name": name, "ratio": ratio, "unit": unit}
    return {**row, "ours_quality": None, "peer_quality": None}


def main() -> None:
    """Print everything as JSON-like lines."""
    result = measured(tuple(sys.argv[1:]) or ("demo", "large"))
    for size in SIZES:
        if size in result:
            print(f"\n{size}: generated in {result[size]['seconds']:.1f} s")
            for name, value in result[size]["marginals"].items():
                print(f"  {name:58s} {value:10.3f}")
            for row in [*result[size]["recall"], {"what": "-- rare songs"}, *result[size]["rare songs"]]:
                print("  " + "  ".join(f"{v:24s}" if isinstance(v, str) else f"{v:.4f}" for v in row.values()))
    print(json.dumps(result["real"], indent=1))


if __name__ == "__main__":
    main()
