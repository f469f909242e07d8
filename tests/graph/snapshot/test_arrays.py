import json
import os
from pathlib import Path

import numpy as np
import pytest

from graph.errors import CorruptRelease
from graph.snapshot.arrays import digest_of, read_arrays, touch, write_arrays

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array([7], dtype=np.int64),
    "empty": np.empty((0, 4), dtype=np.int32),
    "scalar": np.array(2.5),
    "flags": np.array([True, False]),
}


def test_arrays_come_back_as_they_went(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", ARRAYS, {"about": "ș"})
    arrays, meta = read_arrays(tmp_path / "x")
    assert meta == {"about": "ș"}
    for name, value in ARRAYS.items():
        assert arrays[name].tolist() == value.tolist()
        assert (arrays[name].dtype, arrays[name].shape) == (value.dtype, value.shape)


def test_what_is_read_cannot_be_changed(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", ARRAYS)
    with pytest.raises(ValueError, match="read-only"):
        read_arrays(tmp_path / "x")[0]["b"][0] = 1


def test_the_same_arrays_give_the_same_bytes_in_whatever_order(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", ARRAYS, {"p": 1, "q": 2})
    write_arrays(tmp_path / "y", dict(reversed(ARRAYS.items())), {"q": 2, "p": 1})
    for suffix in (".bin", ".json"):
        assert (tmp_path / f"x{suffix}").read_bytes() == (tmp_path / f"y{suffix}").read_bytes()


def test_a_transposed_view_is_written_as_it_reads(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", {"t": ARRAYS["b"].T})
    assert read_arrays(tmp_path / "x")[0]["t"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_every_array_starts_on_a_boundary_of_64_bytes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", ARRAYS)
    entries = json.loads((tmp_path / "x.json").read_text())["arrays"].values()
    assert all(entry["offset"] % 64 == 0 for entry in entries)


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        "{}",
        '{"arrays": [], "meta": {}}',
        '{"arrays": {"a": {}}, "meta": {}}',
        '{"arrays": {"a": 3}, "meta": {}}',
        '{"arrays": {}}',
        '{"arrays": {"a": {"dtype": "no", "shape": [1], "offset": 0}}, "meta": {}}',
        '{"arrays": {"a": {"dtype": "<i8", "shape": [99999999999999999999], "offset": 0}}, "meta": {}}',
        '{"arrays": {"a": {"dtype": "<i8", "shape": [100], "offset": 0}}, "meta": {}}',
        '{"arrays": {"a": {"dtype": "<i8", "shape": [-2], "offset": 0}}, "meta": {}}',
        '{"arrays": {"a": {"dtype": "<i8", "shape": [1], "offset": -64}}, "meta": {}}',
        '{"arrays": {"a": {"dtype": "O", "shape": [1], "offset": 0}}, "meta": {}}',
    ],
)
def test_a_damaged_index_is_a_corrupt_release(tmp_path: Path, index: str) -> None:
    write_arrays(tmp_path / "x", ARRAYS)
    (tmp_path / "x.json").write_text(index)
    with pytest.raises(CorruptRelease, match=r"x\.(bin|json)"):
        read_arrays(tmp_path / "x")


def test_a_file_cut_short_is_a_corrupt_release(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", ARRAYS)
    os.truncate(tmp_path / "x.bin", 70)
    with pytest.raises(CorruptRelease, match="cut short"):
        read_arrays(tmp_path / "x")


@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_a_missing_file_is_a_corrupt_release(tmp_path: Path, suffix: str) -> None:
    write_arrays(tmp_path / "x", ARRAYS)
    (tmp_path / f"x{suffix}").unlink()
    with pytest.raises(CorruptRelease):
        read_arrays(tmp_path / "x")


def test_what_was_opened_outlives_its_files(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x", ARRAYS)
    arrays, _ = read_arrays(tmp_path / "x")
    (tmp_path / "x.bin").unlink()
    assert arrays["a"].tolist() == [7]


def mapped_kb() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux tells how much of files is mapped")
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("RssFile"))


def test_what_was_touched_is_mapped(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a", {"x": np.ones((1000, 1024)), "none": np.zeros((0, 3))})
    arrays, _ = read_arrays(tmp_path / "a")
    before = mapped_kb()
    touch(arrays)
    assert mapped_kb() - before > 7000


def test_digests_tell_names_types_shapes_and_contents_apart() -> None:
    one = np.arange(4, dtype=np.int32)
    digests = {
        digest_of([("a", one)]),
        digest_of([("b", one)]),
        digest_of([("a", one.astype(np.uint32))]),
        digest_of([("a", one.reshape(2, 2))]),
        digest_of([("a", one[::-1])]),
    }
    assert len(digests) == 5
    assert digest_of([("a", one), ("b", one + 1)]) == digest_of([("b", one + 1), ("a", one)])
