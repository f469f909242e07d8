from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graph.batch import Batch
from graph.errors import InvalidInput

Read = Callable[..., Batch]
TINY = {"users": 5, "songs": 40, "days": 2, "seed": 1, "events": 50}


def test_a_world_is_made_where_there_is_none_and_kept_where_there_is_one(read: Read, tmp_path: Path) -> None:
    made = read("world", tmp_path / "w", **TINY)
    marker = (tmp_path / "w" / "world.json").stat().st_mtime_ns
    again = read("world", tmp_path / "w", **TINY)
    as_it_is = read("world", tmp_path / "w")
    assert made.format == "world"
    assert made.nodes["Song"].height == 40
    assert made.events.equals(again.events)
    assert made.events.equals(as_it_is.events)
    assert (tmp_path / "w" / "world.json").stat().st_mtime_ns == marker


def test_other_options_make_another_world(read: Read, tmp_path: Path) -> None:
    assert read("world", tmp_path / "w", **TINY).nodes["User"].height == 5
    assert read("world", tmp_path / "w", **{**TINY, "users": 6}).nodes["User"].height == 6


def test_the_truth_is_never_read(read: Read, tiny_world: Path) -> None:
    assert (tiny_world / "truth").is_dir()
    assert read("world", tiny_world).warnings == []


@pytest.mark.parametrize("options", [{"users": 0}, {"songs": "many"}, {"seed": True}, {"days": -3}, {"bursts": 101}])
def test_impossible_options_are_refused(read: Read, tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        read("world", tmp_path / "w", **options)
