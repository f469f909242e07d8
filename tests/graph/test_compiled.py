"""Machine code kept on disk never outlives a change of any file it came from."""

import os
from pathlib import Path

from graph.compiled import forget_older


def test_only_code_older_than_a_source_is_dropped(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    for name, time in (
        ("model.py", 100),
        ("behaviour.py", 50),
        ("__pycache__/old.nbi", 90),
        ("__pycache__/new.nbi", 110),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    forget_older(tmp_path)
    assert [p.name for p in cache.iterdir()] == ["new.nbi"]
