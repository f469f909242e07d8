"""A copy that follows its source, file by file."""

from __future__ import annotations

import os
import time
from pathlib import Path

from graph.store.mirror import Mirror

OLD_S = time.time() - 10


def write(path: Path, text: str, at: float = OLD_S) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))


def test_copy_has_what_is_new_changed_or_gone(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "made" / "target"
    for name in ("kept", "changed", "gone"):
        write(source / name, name)
    mirror = Mirror(source, target)
    assert mirror.is_stale()
    mirror.update()
    assert not mirror.is_stale()
    write(source / "changed", "differs", OLD_S + 1)
    write(source / "new", "new")
    (source / "gone").unlink()
    assert mirror.is_stale()
    mirror.update()
    assert {p.name: p.read_text() for p in target.iterdir()} == {"kept": "kept", "changed": "differs", "new": "new"}


def test_unchanged_file_is_not_copied_again(tmp_path: Path) -> None:
    write(tmp_path / "source" / "a", "first")
    mirror = Mirror(tmp_path / "source", tmp_path / "target")
    mirror.update()
    write(tmp_path / "source" / "a", "other")  # the same size and time: nothing tells
    mirror.update()
    assert (tmp_path / "target" / "a").read_text() == "first"


def test_file_written_just_before_it_was_copied_is_copied_again(tmp_path: Path) -> None:
    write(tmp_path / "source" / "a", "first", time.time())
    mirror = Mirror(tmp_path / "source", tmp_path / "target")
    mirror.update()
    assert mirror.is_stale()


def test_locks_and_logs_of_a_run_are_not_copied(tmp_path: Path) -> None:
    for name in ("a.bucket", "txlog_0.wal", "database.lck"):
        write(tmp_path / "source" / name, name)
    write(tmp_path / "target" / "txlog_7.wal", "of the copy's last run")
    Mirror(tmp_path / "source", tmp_path / "target").update()
    assert [p.name for p in (tmp_path / "target").iterdir()] == ["a.bucket"]
