import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h3
import numpy as np
import polars as pl
import pytest
from segue_test_worlds import DAY, NOW, World, built, edges, events, lopsided_snapshot, lopsided_vectors, nodes

from graph.log.events import EventLog
from graph.snapshot.arrays import read_arrays
from recall.base import Query
from recall.causes import NEAR_ARTIST, NEARBY, REGION, REGION_ARTIST, Cause
from recall.channels.lbs import Lbs, LbsConfig
from recall.geo.cells import cell_at, spacing_km
from recall.live.live import Live, Overlay

VIENNA, SUBURB, LINZ, OCEAN = (48.2082, 16.3738), (48.2082, 16.4400), (48.3069, 14.2858), (-40.0, -20.0)
SHARP = LbsConfig(half_life_days=7.0, rings=0, creators=0, enough=1, shrink=1.0)
BEN_S3 = 0.4 * (1 + math.log(10))  # ten plays of no known time


@pytest.fixture
def town(make_world: Callable[..., World]) -> World:
    """Ana and Ben live in Vienna, Cy in Linz."""
    return make_world(node_tables=homes(VIENNA, LINZ))


def homes(place: tuple[float, float], cy: tuple[float, float]) -> dict[str, pl.DataFrame]:
    users = nodes(["ana", "ben", "cy"], latitude=[None, None, cy[0]], longitude=[None, None, cy[1]])
    return {"User": users, "Place": nodes(["here"], latitude=[place[0]], longitude=[place[1]])}


def asked(
    world: World, channel: Lbs, at: tuple[float, float], user: str | None = None, now: int = NOW
) -> dict[str, float]:
    query = replace(world.query(user, at=now), latitude=at[0], longitude=at[1])
    found = channel.recall(query, 10)
    return dict(zip(world.ids(found.songs), found.scores.round(6).tolist(), strict=True))


def told(near: float, expected: float, shrink: float = 1.0) -> float:
    return near * math.log((near + shrink) / (expected + shrink))


def test_songs_are_loved_here_more_than_everywhere(town: World) -> None:
    # with a half-life of 7 days: Ana s1 4 x 2^-3; Ben s3 as above, s4 3 x 2^-1; Cy s2 1, s4 2^-2
    here, everywhere = 0.5 + BEN_S3 + 1.5, 0.5 + BEN_S3 + 1.5 + 1 + 0.25
    expected = {
        "s3": told(BEN_S3, here * BEN_S3 / everywhere),
        "s4": told(1.5, here * 1.75 / everywhere),
        "s1": told(0.5, here * 0.5 / everywhere),
    }
    assert town.answer(Lbs(town.release, SHARP), "ana") == pytest.approx(expected, abs=1e-6)
    there = {"s2": told(1, 1.25 / everywhere)}  # s4 is loved in Linz less than elsewhere
    assert town.answer(Lbs(town.release, SHARP), "cy") == pytest.approx(there, abs=1e-6)


def test_the_coordinates_of_a_request_go_before_the_home(town: World) -> None:
    channel = Lbs(town.release, SHARP)
    assert asked(town, channel, LINZ, "ana") == town.answer(channel, "cy")
    assert asked(town, channel, LINZ, None) == town.answer(channel, "cy")  # nobody knows who asks


def test_who_is_nowhere_gets_nothing(town: World) -> None:
    channel = Lbs(town.release)
    assert town.answer(channel, "unknown") == {}
    assert not channel.serves(town.listener("unknown"))
    assert channel.serves(town.listener("cy"))


def near(world: World, config: LbsConfig, user: str = "ana", **more: Any) -> dict[str, float]:
    """Love by song around a listener."""
    found = Lbs(world.release, config).nearby(world.query(user, **more))
    assert found is not None
    return dict(zip(world.ids(found.songs), found.loves.tolist(), strict=True))


def test_rings_are_added_until_there_is_enough(make_world: Callable[..., World]) -> None:
    world = make_world(node_tables=homes(VIENNA, SUBURB))
    assert h3.grid_distance(h3.latlng_to_cell(*VIENNA, 7), h3.latlng_to_cell(*SUBURB, 7)) == 2
    assert set(near(world, replace(SHARP, rings=2, enough=3))) == {"s1", "s3", "s4"}
    assert set(near(world, replace(SHARP, rings=2, enough=4))) == {"s1", "s2", "s3", "s4"}


def test_wide_cells_are_counted_before_anybody_asks(town: World) -> None:
    channel, live = Lbs(town.release, LbsConfig(half_life_days=3.0)), Overlay.of(town.snapshot)
    channel.count(live.counters)
    for resolution in (7, 4):
        key = ("cells", resolution, 3.0 * DAY)
        assert len(list(live.counters.events(key, lambda: pytest.fail("counted while somebody waits"))._totals)) == 2


def test_songs_that_may_not_come_back_are_not_enough(make_world: Callable[..., World]) -> None:
    world = make_world(node_tables=homes(VIENNA, SUBURB))
    assert "s2" in near(world, replace(SHARP, rings=2, enough=3), exclude=["s3"])


def test_what_is_far_away_is_found_when_there_is_nothing_nearer(town: World) -> None:
    # wide cells are some 45 km apart: Linz and Vienna are within 20 of them, the ocean is not
    channel = Lbs(town.release, LbsConfig(creators=0))
    assert asked(town, channel, (48.25, 15.3))
    assert asked(town, channel, OCEAN) == {}


@pytest.mark.parametrize("rings", [1, 2])
def test_what_is_half_km_away_weighs_half(make_world: Callable[..., World], rings: int) -> None:
    """Two cells are 4.87 km apart; beyond one ring the wide cells go on where it ends, 2.44 km away."""
    world = make_world(node_tables=homes(VIENNA, SUBURB))
    config = replace(SHARP, rings=rings, enough=5, half_km=2 * spacing_km(7))
    found = Lbs(world.release, config).nearby(world.query("ana"))
    assert found is not None
    fade = {2: 0.5, 1: 0.5**0.5}[rings]
    loves = dict(zip(world.ids(found.songs), found.loves.tolist(), strict=True))
    # s4, which Cy too has loved, was found nearer: the wide cells say nothing more of it
    assert loves == pytest.approx({"s1": 0.5, "s3": BEN_S3, "s4": 1.5 + 0.125 * (rings == 2), "s2": fade})
    assert found.total == pytest.approx(2 + BEN_S3 + (1.25 * fade if rings == 2 else fade))


def test_whose_home_nobody_knows_is_where_the_own_events_were(make_world: Callable[..., World]) -> None:
    points = {"ana": VIENNA, "ben": VIENNA, "cy": LINZ}
    rows = [("ana", "s1"), ("ben", "s3"), ("cy", "s2"), ("cy", "s5")]
    log = events([(user, "like", song, NOW, 1, None, None, *points[user]) for user, song in rows])
    lives = edges({("LIVES_IN", "User", "Place"): []})
    world = make_world(log=log, edge_tables=lives)
    channel = Lbs(world.release, SHARP)
    assert set(world.answer(channel, "ana")) == {"s1", "s3"}
    assert set(world.answer(channel, "cy")) == {"s2", "s5"}


def test_an_event_counts_where_it_happened_not_where_its_listener_lives(make_world: Callable[..., World]) -> None:
    log = events([("ana", "like", "s5", NOW, 1, None, None, *LINZ), ("ana", "like", "s1", NOW)])
    world = make_world(node_tables=homes(VIENNA, LINZ), log=log)
    channel = Lbs(world.release, SHARP)
    assert set(world.answer(channel, "cy")) == {"s5"}
    assert set(world.answer(channel, "ana")) == {"s1"}


def test_creators_loved_near_by_bring_their_other_songs(town: World) -> None:
    channel = Lbs(town.release, replace(SHARP, creators=1, by_creator=1.0))
    answer = town.answer(channel, "cy", exclude=["s2"])
    # Alba, by s2; s1 is known elsewhere, s5 nowhere; she is told of by 1 beside 1.25 x (1 + 0.5) / 4.57
    everywhere = 0.5 + BEN_S3 + 1.5 + 1 + 0.25
    score = told(1, 1.25 * 1.5 / everywhere)
    fame = {"s1": (0.5 + 0.01) / (1.5 + 0.03), "s5": 0.01 / (1.5 + 0.03)}
    assert answer == pytest.approx({song: score * share for song, share in fame.items()}, abs=1e-6)


def test_says_what_caused_a_song(town: World) -> None:
    channel = Lbs(town.release, replace(SHARP, creators=1, by_creator=1.0))
    query = town.query("cy")
    causes = channel.because(query, np.array(town.songs("s2", "s5", "s3")))
    alba = town.snapshot.ids["Artist"].index("alba")
    assert causes == [Cause(NEARBY), Cause(NEAR_ARTIST, "Artist", alba), None]
    assert [cause.text(town.snapshot) for cause in causes if cause] == [
        "loved near you more than elsewhere",
        "by Alba, whom listeners near you love",
    ]


def test_what_only_the_wide_cells_hold_is_said_to_be_of_the_region(town: World) -> None:
    channel = Lbs(town.release, LbsConfig(creators=1, by_creator=1.0))
    query = replace(town.query(None), latitude=48.25, longitude=15.3)  # between both towns, far from either
    songs = channel.recall(query, 10).songs
    causes = channel.because(query, songs)
    assert len(songs)
    assert {cause.kind for cause in causes if cause} <= {REGION, REGION_ARTIST}
    assert REGION in {cause.kind for cause in causes if cause}
    close = replace(query, latitude=VIENNA[0], longitude=VIENNA[1])
    assert NEARBY in {cause.kind for cause in channel.because(close, channel.recall(close, 10).songs) if cause}


def test_a_play_near_by_changes_the_next_answer(town: World, tmp_path: Path) -> None:
    channel = Lbs(town.release, SHARP)
    with EventLog(f"sqlite:///{tmp_path}/events.db") as log:
        release = replace(town.release, manifest={"events": {"log_id": log.log_id, "offset": 0}})
        live = Live(release, log)

        def answer() -> dict[str, float]:
            found = channel.recall(replace(town.query("cy"), overlay=live.overlay), 10)
            return dict(
                zip([live.overlay.song_id(s) for s in found.songs.tolist()], found.scores.tolist(), strict=True)
            )

        assert set(answer()) == {"s2"}
        log.append_journal("upsert", "Song", "new", {"properties": {}})
        point = {"latitude": LINZ[0], "longitude": LINZ[1]}
        like = {"action": "like", "at": NOW}
        log.append(
            [{**like, "user_id": "??", "song_id": "s5", **point}, {**like, "user_id": "cy", "song_id": "new"}], now=NOW
        )
        live.check()
        assert set(answer()) == {"s2", "s5", "new"}
        rebuilt = Live(release, log)
        again = channel.recall(replace(town.query("cy"), overlay=rebuilt.overlay), 10)
        assert again.scores == pytest.approx(list(answer().values()), rel=1e-9)


def test_agrees_with_counting_by_hand(make_world: Callable[..., World]) -> None:
    """Random events around Vienna; every pair of cells by the distance that H3 says."""
    rng = np.random.default_rng(3)
    rows: list[Any] = []
    for _ in range(300):
        point = (VIENNA[0] + rng.normal(0, 0.05), VIENNA[1] + rng.normal(0, 0.08))
        user, song = rng.choice(["ana", "ben", "cy"]), f"s{rng.integers(1, 6)}"
        rows.append((user, "full_play", song, NOW - int(rng.integers(0, 30)) * DAY, 1, None, None, *point))
    world = make_world(log=events(rows))
    config = LbsConfig(half_life_days=5.0, rings=3, enough=99, half_km=3.0, creators=0)
    middle, loves, total, everywhere = h3.latlng_to_cell(*VIENNA, 7), dict.fromkeys(range(1, 6), 0.0), 0.0, 0.0
    shares = dict.fromkeys(range(1, 6), 0.0)
    spacing = math.sqrt(3) * h3.average_hexagon_edge_length(7, unit="km")
    for _, _, song, at, *_, latitude, longitude in rows:
        fresh = 2 ** ((at - NOW) / DAY / 5)
        steps = h3.grid_distance(middle, h3.cell_to_parent(h3.latlng_to_cell(latitude, longitude, 9), 7))
        fade = 2 ** (-steps * spacing / 3) if steps <= 3 else 0.0
        loves[int(song[1])] += fresh * fade
        shares[int(song[1])] += fresh
        total, everywhere = total + fresh * fade, everywhere + fresh
    channel = Lbs(world.release, config)
    channel._rings = lambda: (r for r in Lbs._rings(channel) if r[0] == 7)  # type: ignore[method-assign]
    expected = {f"s{s}": told(loves[s], total * shares[s] / everywhere, 5.0) for s in loves}
    expected = {song: score for song, score in expected.items() if score > 0}
    assert asked(world, channel, VIENNA) == pytest.approx(expected, abs=1e-5)


def test_nothing_finer_than_the_cell_is_stored(tmp_path: Path) -> None:
    snapshot = lopsided_snapshot(node_tables=homes(VIENNA, LINZ))
    built(tmp_path, snapshot, lopsided_vectors(snapshot), ["lbs"], {"lbs": {"resolution": 5}})
    arrays, meta = read_arrays(tmp_path / "recall" / "lbs" / "homes")
    assert arrays["home"].tolist() == [cell_at(*VIENNA, 5), cell_at(*VIENNA, 5), cell_at(*LINZ, 5)]
    assert {name: a.dtype.kind for name, a in arrays.items()} == {"home": "i", "given": "b"}
    assert meta == {"resolution": 5}
    assert {p.name for p in (tmp_path / "recall" / "lbs").iterdir()} == {"homes.bin", "homes.json"}


def test_counters_keep_no_finer_cells(town: World) -> None:
    channel = Lbs(town.release, replace(SHARP, resolution=6))
    query: Query = town.query("ana")
    channel.recall(query, 5)
    sums = channel._sums(query.live.counters, 6)
    assert {h3.get_resolution(h3.int_to_str(cell)) for cell in sums._cells.tolist()} == {6}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("resolution", 10, r"resolution must be 0 to 9 \(got 10\)"),
        ("half_km", 0.0, r"half_km must be more than 0 \(got 0.0\)"),
        ("rings", -1, r"rings must be at least 0 \(got -1\)"),
    ],
)
def test_impossible_settings_are_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LbsConfig(**{field: value})  # type: ignore[arg-type]
