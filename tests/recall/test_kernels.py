"""Every compiled kernel gives what a plain model of it gives."""

import math

import numpy as np
import pytest

from recall.kernels.best import best_of, index_in
from recall.kernels.checks import EXCLUDED, FINE, NOT_FINITE, TWICE, UNKNOWN, fault_of
from recall.kernels.edges import add_lifts, best_by_share, gathered_from_targets, spread_over_targets
from recall.kernels.features import fill_channels, fill_songs
from recall.kernels.merging import RANK_OFFSET, gap_contributions, merged
from recall.kernels.mmr import mmr_order
from recall.kernels.people import around_of, loves_of, peers_of
from recall.kernels.sums import bits_of, looked_up, neighbour_sums, ranks_within, sums_of, table_of

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("highest", [5, 300, 2**40])
def test_sums_are_those_of_a_dictionary(seed: int, highest: int) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.integers(-3 if seed % 2 else 0, highest, 200)
    values = rng.normal(size=len(keys))
    sums: dict[int, float] = {}
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        sums[key] = sums.get(key, 0.0) + value
    found, summed = sums_of(keys, values)
    assert found.tolist() == sorted(sums)
    assert summed.tolist() == [sums[key] for key in sorted(sums)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_table_knows_the_values_of_its_keys_and_no_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys, values = rng.choice(4000, 700, replace=False), rng.normal(size=700)
    slots, theirs = table_of(keys, values)
    known = dict(zip(keys.tolist(), values.tolist(), strict=True))
    found = [looked_up(key, slots, theirs, bits_of(slots)) for key in range(4000)]
    assert found == [known.get(key, 0.0) for key in range(4000)]


def test_sums_of_nothing_are_nothing() -> None:
    found, summed = sums_of(np.empty(0, dtype=np.int64), np.empty(0))
    assert (len(found), len(summed)) == (0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_neighbours_of_a_history_are_summed_by_weight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    songs = rng.integers(-1, 40, (40, 6)).astype(np.int32)
    weights = rng.random((40, 6)).astype(np.float32)
    seeds, seed_weights = rng.choice(40, 7, replace=False), rng.normal(size=7)
    sums: dict[int, float] = {}
    for one, weight in zip(seeds.tolist(), seed_weights.tolist(), strict=True):
        for song, near in zip(songs[one].tolist(), weights[one].tolist(), strict=True):
            if song >= 0:
                sums[song] = sums.get(song, 0.0) + weight * near
    found, summed = neighbour_sums(songs, weights, seeds, seed_weights)
    assert found.tolist() == sorted(sums)
    assert summed == pytest.approx([sums[song] for song in sorted(sums)])


@pytest.mark.parametrize("seed", SEEDS)
def test_ranks_within_a_group_count_those_before(seed: int) -> None:
    groups = np.random.default_rng(seed).integers(-2, 9, 60)
    assert ranks_within(groups).tolist() == [groups[:i].tolist().count(group) for i, group in enumerate(groups)]


def test_a_key_is_found_where_it_stands() -> None:
    known = np.array([2, 5, 9])
    assert [index_in(known, key) for key in (1, 2, 5, 7, 9, 10)] == [-1, 0, 1, -1, 2, -1]
    assert index_in(known[:0], 3) == -1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [0, 1, 7, 60, 500])
@pytest.mark.parametrize("by_arrival", [True, False])
def test_the_best_are_the_first_of_all_sorted(seed: int, k: int, by_arrival: bool) -> None:
    rng = np.random.default_rng(seed)
    songs = rng.permutation(400)[:200].astype(np.int64)
    scores = rng.integers(-2, 6, 200).astype(float)  # many are equal
    exclude = np.sort(rng.choice(400, 80, replace=False)).astype(np.int32)
    arrival = rng.integers(0, 4, 300) if by_arrival else np.empty(0, dtype=np.int64)

    def order(i: int) -> tuple[float, ...]:
        song = int(songs[i])
        first = int(arrival[song]) if song < len(arrival) else 2**63 - 1
        return (-scores[i], first, song) if by_arrival else (-scores[i], i)

    may = [i for i in range(200) if scores[i] > 0 and songs[i] not in exclude]
    assert best_of(songs, scores, exclude, arrival, 0.0, k).tolist() == sorted(may, key=order)[:k]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_candidate_contributes_its_gap_to_the_last_of_its_list(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists = [np.sort(rng.random(n))[::-1] for n in (5, 0, 1, 12)]
    lists[0][:] = lists[0][0]  # a list of equal scores says nothing
    mains, starts = np.array([5, 0, 1, 9]), np.cumsum([0, *map(len, lists)])
    weights, factors = rng.random(4), np.array([1.0, 1.0, 0.0, 2.0])
    expected = []
    for found, main, weight, factor in zip(lists, mains, weights, factors, strict=True):
        scores = found[:main].tolist()
        mean = sum(scores) / max(main, 1)
        spread = math.sqrt(sum((score - mean) ** 2 for score in scores) / max(main, 1))
        for i, score in enumerate(scores):
            gap = math.log1p((score - scores[-1]) / spread) if spread > 1e-12 else 0.0
            expected.append(factor * (weight * gap + 0.001 * RANK_OFFSET / (RANK_OFFSET + i)))
        expected += [0.0] * (len(found) - main)
    found = gap_contributions(np.concatenate(lists), starts, mains, weights, factors, 0.001)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_lists_are_merged_song_by_song(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes, mains = [9, 0, 14, 6], np.array([9, 0, 10, 4])
    lists = [rng.permutation(30)[:size] for size in sizes]
    songs, starts = np.concatenate(lists).astype(np.int32), np.cumsum([0, *sizes])
    scores, adds, inside = rng.random(len(songs)), rng.random(len(songs)), rng.random(len(songs)) < 0.6
    whole = {int(songs[i]) for c in range(4) for i in range(starts[c], starts[c] + mains[c]) if inside[i]}
    adds = np.round(adds, 1)  # some fused scores are equal
    unique, fused, ranks, theirs, besides = merged(songs, scores, adds, starts, mains, inside)
    assert sorted(unique.tolist()) == np.unique(songs[inside]).tolist()
    assert np.lexsort((unique, -fused)).tolist() == list(range(len(unique)))
    for at, song in enumerate(unique.tolist()):
        assert besides[at] == (song not in whole)
        total = 0.0
        for c, found in enumerate(lists):
            rank = found.tolist().index(song) if song in found else -1
            if rank >= mains[c] and song in whole:
                rank = -1  # what is there for an interest says nothing of a song that is there for all
            assert ranks[at, c] == rank
            assert theirs[at, c] == (scores[starts[c] + rank] if rank >= 0 else 0)
            total += adds[starts[c] + rank] if rank >= 0 else 0
        assert fused[at] == pytest.approx(total)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("novelty", [0.0, 0.1, 0.9])
def test_mmr_picks_the_highest_of_all_each_time(seed: int, novelty: float) -> None:
    rng = np.random.default_rng(seed)
    unit = rng.normal(size=(50, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    gain, artist = rng.integers(0, 10, 50) / 10, rng.integers(-1, 8, 50)
    picked: list[int] = []
    while len(picked) < 12:

        def value(row: int) -> float:
            alike = [
                1.0 if artist[row] >= 0 and artist[row] == artist[one] else float(unit[row] @ unit[one])
                for one in picked
            ]
            return float(gain[row]) - novelty * max([0.0, *alike])

        picked.append(max((row for row in range(50) if row not in picked), key=lambda row: (value(row), -row)))
    assert mmr_order(gain, unit, artist, novelty, 12).tolist() == picked


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_go_along_edges_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = [rng.choice(25, rng.integers(0, 4), replace=False).tolist() for _ in range(30)]
    indptr, indices = np.cumsum([0, *map(len, edges)]), np.concatenate([np.array(one, dtype=np.int64) for one in edges])
    shares = rng.random(len(indices))
    songs, weights = rng.choice(30, 8, replace=False), rng.normal(size=8)
    spread: dict[int, float] = {}
    norm = 0.0
    for song, weight in zip(songs.tolist(), weights.tolist(), strict=True):
        norm += abs(weight) if edges[song] else 0
        for edge in range(indptr[song], indptr[song + 1]):
            target = int(indices[edge])
            spread[target] = spread.get(target, 0.0) + weight * shares[edge]
    targets, sums, length = spread_over_targets(indptr, indices, shares, songs, weights)
    assert targets.tolist() == sorted(spread)
    assert sums == pytest.approx([spread[target] for target in sorted(spread)])
    assert length == pytest.approx(norm)
    back = [
        sum(shares[edge] * spread.get(int(indices[edge]), 0.0) for edge in range(indptr[song], indptr[song + 1]))
        for song in range(30)
    ]
    found = gathered_from_targets(indptr, indices, shares, np.arange(31), *table_of(targets, sums))
    assert found == pytest.approx([*back, 0.0])  # a song beyond the rows has no edges


@pytest.mark.parametrize("seed", SEEDS)
def test_songs_are_lifted_by_what_is_liked_of_them_and_never_lowered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    which, target = np.sort(rng.integers(0, 12, 40)), rng.integers(0, 6, 40)
    share, affinity, found = rng.random(40), rng.normal(size=6), rng.random(12)
    expected = found.tolist()
    for song in range(12):
        edges = [edge for edge in range(40) if which[edge] == song]
        expected[song] += 0.3 * max(sum(affinity[target[edge]] * share[edge] for edge in edges), 0.0)
    add_lifts(found, which, target, share, affinity, 0.3)
    assert found == pytest.approx(expected)


def test_the_more_an_entity_is_preferred_the_more_of_its_songs_are_looked_at() -> None:
    best = np.array([[0, 1, 2, 3], [4, 5, 6, -1]])
    assert best_by_share(best, np.array([0, 1]), np.array([3.0, 1.0]), 4).tolist() == [0, 1, 2, 4]
    assert best_by_share(best, np.array([1]), np.array([0.1]), 4).tolist() == [4, 5, 6]


@pytest.mark.parametrize("seed", SEEDS)
def test_entities_bring_songs_by_their_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    best = rng.integers(-1, 90, (12, 6)).astype(np.int32)
    entities, values = rng.choice(12, 5, replace=False), rng.normal(size=5)
    total, expected = sum(value for value in values if value > 0), []
    for entity, value in zip(entities.tolist(), values.tolist(), strict=True):
        if value > 0:
            expected += [song for song in best[entity, : math.ceil(10 * value / total)].tolist() if song >= 0]
    assert best_by_share(best, entities, values, 10).tolist() == expected
    assert not len(best_by_share(best, entities, -np.abs(values), 10))


def part_of(loves: dict[tuple[int, int], tuple[float, float]]) -> tuple[np.ndarray, ...]:
    pairs = sorted(loves)
    user, song = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    timed, lasting = (np.array([loves[pair][i] for pair in pairs], dtype=np.float64) for i in (0, 1))
    return user, song, timed, lasting


@pytest.mark.parametrize("seed", SEEDS)
def test_loves_are_worth_their_share_by_weight_and_taste(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, since = 18, 0.7

    def loves(count: int) -> dict[tuple[int, int], tuple[float, float]]:
        pairs = zip(rng.integers(0, 6, count).tolist(), rng.integers(0, 20, count).tolist(), strict=True)
        return {pair: (float(rng.normal()), float(rng.choice([0.0, 0.5]))) for pair in pairs}

    parts = [loves(60), loves(30), loves(10), loves(seed)]
    people, weight, trust = np.array([4, 0, 9, 2]), rng.random(4), rng.random(4)
    mine, likes = rng.choice(20, 9, replace=False), rng.normal(size=9)
    who, songs, worth = loves_of(people, weight, trust, *map(part_of, parts), since, mine, likes, size)
    mine_by_song = {int(s): max(float(w), 0.0) for s, w in zip(mine, likes, strict=True)}
    squares = sum(w * w for w in mine_by_song.values())
    for p, person in enumerate(people.tolist()):
        sums: dict[int, float] = {}
        for part in parts:
            for (user, song), (timed, lasting) in part.items():
                if user == person and song < size:
                    sums[song] = sums.get(song, 0.0) + timed * since + lasting
        loved = {song: love for song, love in sums.items() if love > 0}
        common = sum(love * mine_by_song.get(song, 0.0) for song, love in loved.items())
        norm = math.sqrt(sum(love * love for love in loved.values()) * squares)
        scale = weight[p] * (trust[p] + common / max(norm, 1e-12)) / max(loved.values(), default=1e-12)
        expected = {song: scale * love for song, love in loved.items()}
        of = who == p
        assert dict(zip(songs[of].tolist(), worth[of].tolist(), strict=True)) == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_those_around_followees_are_summed_by_mass(seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = np.array([rng.permutation(12)[:5] for _ in range(12)], dtype=np.int32)
    people[rng.random(people.shape) < 0.2] = -1
    mass = (rng.integers(1, 4, people.shape) / 8).astype(np.float32)  # many equal ones
    followees, but = rng.choice(12, 3, replace=False), 0
    total: dict[int, float] = {}
    shares: dict[int, list[tuple[float, int]]] = {}
    for followee in followees.tolist():
        for person, share in zip(people[followee].tolist(), mass[followee].tolist(), strict=True):
            if person >= 0 and person != but and person not in followees:
                total[person] = total.get(person, 0.0) + share
                shares.setdefault(person, []).append((share, followee))
    expected = sorted(total, key=lambda person: (-total[person], person))[:4]
    found, sums, via = around_of(people, mass, followees, but, 4)
    assert found.tolist() == expected
    assert sums.tolist() == [total[person] for person in expected]
    assert via.tolist() == [max(shares[person], key=lambda one: one[0])[1] for person in expected]


@pytest.mark.parametrize("crowd", [3, 100])
def test_peers_are_those_who_share_the_most_and_rarest(crowd: int) -> None:
    rng = np.random.default_rng(crowd)
    listeners = [sorted(rng.choice(30, rng.integers(0, 12), replace=False).tolist()) for _ in range(9)]
    indptr = np.cumsum([0, *map(len, listeners)])
    indices = np.array([user for of in listeners for user in of], dtype=np.int32)
    songs, weights = np.array([7, 2, 4, 5]), np.array([1.0, 0.5, 0.5, 0.25])
    shared: dict[int, float] = {}
    for song, weight in zip(songs.tolist(), weights.tolist(), strict=True):
        of = listeners[song]
        looked = [of[j * len(of) // min(len(of), crowd)] for j in range(min(len(of), crowd))]
        for user in looked:
            if user != 3:
                shared[user] = shared.get(user, 0.0) + weight / math.log(2 + len(of))
    expected = sorted(shared, key=lambda user: (-shared[user], user))[:6]
    assert peers_of(indptr, indices, songs, weights, crowd, 3, 6).tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_features_of_channels_are_looked_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranks = np.where(rng.random((7, 3)) < 0.5, rng.integers(0, 9, (7, 3)), -1).astype(np.int32)
    scores, fused = np.where(ranks >= 0, rng.normal(size=(7, 3)), 0.0), rng.random(7)
    listed = np.array([2, -1, 0, 1])
    found = np.empty((7, 10))
    fill_channels(found, ranks, scores, fused, listed)
    for i in range(7):
        for c, column in enumerate(listed.tolist()):
            has = column >= 0 and ranks[i, column] >= 0
            best = max(scores[:, column].max(), 1e-12)
            assert found[i, c] == pytest.approx(1 / math.log2(2 + ranks[i, column]) if has else 0)
            assert found[i, 4 + c] == pytest.approx(scores[i, column] / best if has else 0)
        assert found[i, 8] == pytest.approx(60 * fused[i])
        assert found[i, 9] == pytest.approx((ranks[i] >= 0).sum() / 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_features_of_songs_are_looked_up(seed: int) -> None:
    rng, day = np.random.default_rng(seed), 86_400_000
    known, unit, new_unit = rng.random((6, 2)), rng.normal(size=(6, 4)), rng.normal(size=(3, 4))
    unknown = np.iinfo(np.int64).min
    released, new_released = np.array([0, 5 * day, unknown, day, 9 * day, 1]), np.array([unknown, 2 * day, 3 * day])
    songs, heard, plays, taste = rng.permutation(9)[:7], np.array([1, 4, 8]), rng.random(3), rng.normal(size=4)
    found = np.full((7, 8), np.nan)
    fill_songs(found, 1, songs, known, released, new_released, 7 * day, heard, plays, unit, new_unit, taste)
    vectors = np.concatenate([unit, new_unit])
    for row, song in zip(found, songs.tolist(), strict=True):
        when = int(np.concatenate([released, new_released])[song])
        age = 0 if when == unknown else math.log1p(max(7 * day - when, 0) / day)
        mine = [0.0, 0.0] if song >= 6 else known[song].tolist()
        own = [1.0, float(plays[heard.tolist().index(song)])] if song in heard else [0.0, 0.0]
        assert row[1:7].tolist() == pytest.approx([*mine, age, *own, float(vectors[song] @ taste)])
    assert np.isnan(found[:, [0, 7]]).all()


def test_a_faulty_answer_is_told_by_its_first_fault() -> None:
    exclude = np.array([3, 8], dtype=np.int32)

    def fault(songs: list[int], scores: list[float]) -> int:
        return int(fault_of(np.array(songs, dtype=np.int32), np.array(scores), exclude, 10))

    assert fault([1, 9, 0], [3.0, 2.0, 1.0]) == FINE
    assert fault([], []) == FINE
    assert fault([10], [1.0]) == UNKNOWN
    assert fault([-1], [1.0]) == UNKNOWN
    assert fault([1, 2], [math.nan, 1.0]) == NOT_FINITE
    assert fault([1, 2], [1.0, math.inf]) == NOT_FINITE
    assert fault([4, 5, 4], [3.0, 2.0, 1.0]) == TWICE
    assert fault([4, 8], [3.0, 2.0]) == EXCLUDED
