"""The index against brute force: exact, graph and codes, and filtered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import World

from graph.errors import CorruptRelease
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import UNKNOWN_INTEGER
from recall.base import Candidates
from recall.index.config import IndexConfig
from recall.index.filters import Columns, Filter
from recall.index.vector_index import VectorIndex

UNIT = np.array([[1, 0], [0, 1], [0, 0], [0.6, 0.8], [-1, 0]], dtype=np.float32)
SONGS, DIM, K = 6000, 16, 50
APPROXIMATE = ("hnsw", "ivfpq")


# Exact


def test_finds_the_nearest_by_cosine_whatever_the_length_of_the_question() -> None:
    found = VectorIndex(UNIT).search(np.array([5.0, 0.0]), 2)
    assert found.songs.tolist() == [0, 3]
    assert found.scores == pytest.approx([1.0, 0.6])


def test_a_song_without_a_vector_is_never_found() -> None:
    assert 2 not in VectorIndex(UNIT).search(np.array([1.0, 1.0]), 10).songs


def test_only_allowed_songs_are_found() -> None:
    allowed = np.array([False, True, True, False, True])
    assert VectorIndex(UNIT).search(np.array([1.0, 0.0]), 10, allowed).songs.tolist() == [1, 4]


def test_excluded_songs_are_not_found() -> None:
    found = VectorIndex(UNIT).search(np.array([1.0, 0.0]), 2, exclude=np.array([0, 99]))
    assert found.songs.tolist() == [3, 1]


@pytest.mark.parametrize(("vector", "k"), [([0.0, 0.0], 3), ([1.0, 0.0], 0)])
def test_nothing_to_ask_gives_nothing(vector: list[float], k: int) -> None:
    assert len(VectorIndex(UNIT).search(np.array(vector), k)) == 0


def test_equal_songs_come_in_their_order_wherever_the_cut_falls() -> None:
    index = VectorIndex(np.tile(np.array([[0.0, 1.0]], dtype=np.float32), (50, 1)))
    for k in (1, 7, 49):
        assert index.search(np.array([0.0, 2.0]), k).songs.tolist() == list(range(k))


def test_an_empty_catalogue_is_answered() -> None:
    assert len(VectorIndex(np.empty((0, 2), dtype=np.float32)).search(np.ones(2), 3)) == 0


# Approximate


CENTRES = np.random.default_rng(99).standard_normal((40, DIM))


def clustered(count: int, seed: int) -> Array:
    """(count, DIM) of length 1 around the centres, which are the same for every seed."""
    rng = np.random.default_rng(seed)
    vectors = CENTRES[rng.integers(0, 40, count)] + 0.7 * rng.standard_normal((count, DIM))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def brute(unit: Array, question: Array, k: int, allowed: Array | None = None) -> list[int]:
    scores = np.einsum("nd,d->n", unit.astype(np.float64), question.astype(np.float64))
    usable = unit.any(axis=1) if allowed is None else unit.any(axis=1) & allowed
    order = np.argsort(-np.where(usable, scores, -np.inf), kind="stable")
    return order[: min(k, int(usable.sum()))].tolist()


def recall(found: Candidates, truth: list[int]) -> float:
    return len(set(found.songs.tolist()) & set(truth)) / max(len(truth), 1)


def columns_of(tiers: list[int | None], languages: list[str | None], released: list[int | None]) -> Columns:
    names = tuple(sorted({name for name in languages if name}))
    tier, released_at = (np.array([UNKNOWN_INTEGER if v is None else v for v in of]) for of in (tiers, released))
    return Columns(tier, np.array([names.index(name) if name else -1 for name in languages]), released_at, names)


CATALOGUE = clustered(SONGS, 1)
CATALOGUE[::10] = 0  # a tenth has no vector
QUESTIONS = clustered(60, 2)
_RNG = np.random.default_rng(3)
COLUMNS = columns_of(
    _RNG.integers(0, 100, SONGS).tolist(),
    [("sw", "ja", None)[i] for i in _RNG.integers(0, 3, SONGS)],
    _RNG.integers(0, 1000, SONGS).tolist(),
)
BUILT: dict[str, VectorIndex] = {}


@pytest.fixture(params=APPROXIMATE)
def index(request: pytest.FixtureRequest) -> VectorIndex:
    """Built once."""
    return built(request.param)


def built(kind: str) -> VectorIndex:
    if kind not in BUILT:
        BUILT[kind] = VectorIndex.build(CATALOGUE, IndexConfig(kind=kind), COLUMNS, seed=0)
    return BUILT[kind]


def fresh(kind: str, **options: float) -> VectorIndex:
    return VectorIndex.build(CATALOGUE, IndexConfig(kind=kind, **options), COLUMNS, seed=0)  # type: ignore[arg-type]


def test_the_kind_goes_by_the_number_of_vectors() -> None:
    config = IndexConfig(exact_up_to=3000, graph_up_to=5000)
    assert [config.chosen(n).kind for n in (3000, 3001, 5000, 5001)] == ["exact", "hnsw", "hnsw", "ivfpq"]
    assert IndexConfig(kind="hnsw").chosen(100).kind == "exact"  # too few to leave any out
    assert VectorIndex.build(CATALOGUE, IndexConfig(exact_up_to=5399), seed=0).kind == "hnsw"
    assert VectorIndex.build(CATALOGUE, IndexConfig(exact_up_to=5400), seed=0).kind == "exact"


def test_new_questions_are_answered_as_well_as_was_measured(index: VectorIndex) -> None:
    recalls = [recall(index.search(q, 100), brute(CATALOGUE, q, 100)) for q in QUESTIONS]
    assert index.measured["recall"] >= 0.97
    assert np.mean(recalls) >= 0.96


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_a_filtered_search_is_the_search_of_the_filtered_songs(index: VectorIndex, percent: int) -> None:
    tiers = Filter(tiers=frozenset(range(percent)))
    allowed = tiers.mask(COLUMNS)
    recalls = []
    for question in QUESTIONS:
        found = index.search(question, K, tiers)
        assert allowed[found.songs].all()
        assert found.songs.tolist() == index.search(question, K, allowed).songs.tolist()
        recalls.append(recall(found, brute(CATALOGUE, question, K, allowed)))
    assert np.mean(recalls) >= 0.95


def test_scores_are_exact_and_come_in_order(index: VectorIndex) -> None:
    found = index.search(QUESTIONS[0] * 3, K)
    assert found.scores == pytest.approx(CATALOGUE[found.songs] @ QUESTIONS[0], abs=1e-6)
    assert (np.diff(found.scores) <= 0).all()
    assert len(set(found.songs.tolist())) == K
    assert CATALOGUE[found.songs].any(axis=1).all()


def test_an_exact_question_is_answered_exactly_by_every_kind(index: VectorIndex) -> None:
    some = Filter(tiers=frozenset({3, 4}))
    for question in QUESTIONS[:10]:
        assert index.search(question, K, exact=True).songs.tolist() == brute(CATALOGUE, question, K)
        found = index.search(question, K, some, exact=True)
        assert found.songs.tolist() == brute(CATALOGUE, question, K, some.mask(COLUMNS))
        assert index.scores(question) == pytest.approx(CATALOGUE @ question, abs=1e-6)


def test_a_filter_that_forbids_all_that_is_near_still_fills_the_list(index: VectorIndex) -> None:
    recalls = []
    for question in QUESTIONS:
        far = CENTRES @ question < np.sort(CENTRES @ question)[-15]  # not the 15 clusters around it
        allowed = far[np.argmax(CATALOGUE @ CENTRES.T, axis=1)]
        recalls.append(recall(index.search(question, K, allowed), brute(CATALOGUE, question, K, allowed)))
    assert np.mean(recalls) >= 0.9  # what is left stands at about a right angle, and nearness hardly tells it apart


@pytest.mark.parametrize("count", [10, 100, 300])
def test_excluding_all_that_is_nearest_still_fills_the_list(index: VectorIndex, count: int) -> None:
    recalls = []
    for question in QUESTIONS:
        exclude = np.sort(np.array(brute(CATALOGUE, question, count)))
        allowed = np.ones(SONGS, dtype=bool)
        allowed[exclude] = False
        found = index.search(question, K, exclude=exclude)
        assert allowed[found.songs].all()
        recalls.append(recall(found, brute(CATALOGUE, question, K, allowed)))
    assert np.mean(recalls) >= 0.95


def test_fewer_songs_than_asked_for_are_all_found(index: VectorIndex) -> None:
    few = Filter(tiers=frozenset({5}), languages=frozenset({"sw"}))
    expected = np.flatnonzero(few.mask(COLUMNS) & CATALOGUE.any(axis=1))
    assert 0 < len(expected) < K
    assert sorted(index.search(QUESTIONS[0], K, few).songs.tolist()) == expected.tolist()
    assert len(index.search(QUESTIONS[0], K, Filter(languages=frozenset({"xx"})))) == 0
    assert len(index.search(QUESTIONS[0], 2 * SONGS)) == SONGS - SONGS // 10


# Filters


def test_each_condition_of_a_filter_by_hand() -> None:
    columns = columns_of([0, 1, 2, None], ["sw", "ja", "", None], [10, 20, None, 30])

    def passed(**conditions: object) -> list[int]:
        return np.flatnonzero(Filter(**conditions).mask(columns)).tolist()  # type: ignore[arg-type]

    assert passed() == [0, 1, 2, 3]
    assert passed(tiers=frozenset({0, 2})) == [0, 2]
    assert passed(languages=frozenset({"ja", "xx"})) == [1]
    assert passed(admitted=True) == [1, 2, 3]
    assert passed(admitted=False) == [0]
    assert passed(released_from=20) == [1, 3]
    assert passed(released_until=20) == [0]
    assert passed(released_from=10, released_until=30, languages=frozenset({"ja", "sw"}), admitted=True) == [1]


def test_columns_of_a_snapshot(lopsided: World) -> None:
    columns = Columns.of(lopsided.release.snapshot)
    assert len(columns) == lopsided.release.snapshot.songs


# Files


def test_a_loaded_index_answers_as_the_built_one(index: VectorIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "songs")
    loaded = VectorIndex.load(tmp_path / "songs", COLUMNS)
    assert (loaded.kind, loaded.measured) == (index.kind, index.measured)
    for question in QUESTIONS[:10]:
        for allowed in (None, Filter(tiers=frozenset(range(10)))):
            ours, theirs = index.search(question, K, allowed), loaded.search(question, K, allowed)
            assert ours.songs.tolist() == theirs.songs.tolist()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has mapped")
def test_a_loaded_index_is_mapped_and_outlives_its_folder(index: VectorIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "songs")
    loaded = VectorIndex.load(tmp_path / "songs")
    maps = Path("/proc/self/maps").read_text()
    for part in ("songs.bin", "songs.faiss"):
        assert str(tmp_path / part) in maps
        (tmp_path / part).unlink()
    assert len(loaded.search(QUESTIONS[0], K)) == K


def test_an_exact_index_is_saved_too(tmp_path: Path) -> None:
    VectorIndex(UNIT).save(tmp_path / "songs")
    assert VectorIndex.load(tmp_path / "songs").search(np.array([5.0, 0.0]), 2).songs.tolist() == [0, 3]


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(kind: str, tmp_path: Path) -> None:
    config = IndexConfig(kind=kind)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        VectorIndex.build(CATALOGUE[:2500], config, seed=seed).save(tmp_path / name)
    for suffix in (".bin", ".json", ".faiss"):
        a, b, c = ((tmp_path / name).with_suffix(suffix).read_bytes() for name in "abc")
        assert a == b
        assert suffix == ".json" or a != c


@pytest.mark.parametrize("damage", ["cut", "missing", "of another"])
def test_a_damaged_file_is_told(damage: str, tmp_path: Path) -> None:
    built("hnsw").save(tmp_path / "songs")
    file = tmp_path / "songs.faiss"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "missing":
        file.unlink()
    else:
        VectorIndex.build(CATALOGUE[:3000], IndexConfig(kind="hnsw"), seed=0).save(tmp_path / "other")
        (tmp_path / "other.faiss").replace(file)
    with pytest.raises(CorruptRelease, match=r"songs\.faiss"):
        VectorIndex.load(tmp_path / "songs")


def test_each_setting_changes_something(tmp_path: Path) -> None:
    def files(**options: float) -> tuple[bytes, ...]:
        config = IndexConfig(kind="hnsw", **options)  # type: ignore[arg-type]
        VectorIndex.build(CATALOGUE[:2500], config, seed=0).save(tmp_path / "x")
        return (tmp_path / "x.faiss").read_bytes(), (tmp_path / "x.bin").read_bytes()

    plain = files()
    assert files(links=8)[0] != plain[0]
    assert files(ef_construction=20)[0] != plain[0]
    assert files(cells=1.0)[1] != plain[1]
    assert fresh("ivfpq", recall=0.9999).measured != built("ivfpq").measured
    narrow = fresh("ivfpq", refine=1).search(QUESTIONS[0], K)
    assert narrow.scores.sum() < built("ivfpq").search(QUESTIONS[0], K).scores.sum()


def test_a_build_tells_how_far_it_is_and_stops_when_told() -> None:
    seen: list[tuple[str, int, int]] = []
    VectorIndex.build(CATALOGUE, IndexConfig(kind="hnsw"), seed=0, progress=lambda *step: seen.append(step))
    assert list(dict.fromkeys(what for what, _, _ in seen)) == ["cells", "graph", "truth", "measure"]
    assert all(0 <= done <= total for _, done, total in seen)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VectorIndex.build(CATALOGUE, IndexConfig(kind="hnsw"), seed=0, progress=stop)


# Mistakes


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda i: i.search(np.ones(3), 1), "vector must be 2 finite numbers"),
        (lambda i: i.search(np.array([np.nan, 1]), 1), "vector must be 2 finite numbers"),
        (lambda i: i.search(np.ones(2), 1, Filter()), "a filter needs the columns"),
        (lambda _: VectorIndex(UNIT, columns_of([1], [None], [None])), r"must tell of 5 songs \(got 1\)"),
        (lambda _: VectorIndex.build(2 * UNIT, seed=0), r"row 0 has 2"),
        (lambda _: VectorIndex.build(np.full((1, 2), np.nan, dtype=np.float32), seed=0), "length 1 or 0"),
        (lambda _: VectorIndex.build(UNIT[0], seed=0), "must be a matrix"),
        (lambda _: IndexConfig(kind="flat"), "kind must be one of auto, exact, hnsw, ivfpq"),
        (lambda _: IndexConfig(recall=1.0), "recall must be between 0 and 1"),
        (lambda _: IndexConfig(links=1), "links must be at least 2"),
        (lambda _: IndexConfig(refine=0), "refine must be more than 0"),
        (lambda _: Filter(released_from=5, released_until=5), "released_from must be before"),
    ],
)
def test_a_mistake_is_named(act: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        act(VectorIndex(UNIT))  # type: ignore[operator]


def test_exact_search_needs_neither_faiss_nor_any_trainer() -> None:
    code = (
        "import sys, numpy as np\n"
        "from recall.index.vector_index import VectorIndex\n"
        "VectorIndex(np.eye(3, dtype=np.float32)).search(np.ones(3), 2)\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'faiss', 'torch', 'gensim'}))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
