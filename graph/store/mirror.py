"""A copy of a database's files that is brought up to date by copying the files that have changed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

# What a database has open or is about to throw away: a copy begins without.
_OF_A_RUN: Final = (".wal", ".lck", ".tmp")
# A file system's clock may stand still so long: a file that was written just before it was copied may have been
# written again at what looks like the same time.
_CLOCK_NS: Final = 50_000_000


class Mirror:
    """The copy; nobody may have its database open during `update`."""

    def __init__(self, source: Path, target: Path) -> None:
        self.target = target
        self._source = source
        self._known: dict[str, tuple[int, int]] = {}

    def is_stale(self) -> bool:
        """Whether a file of the source has changed since `update`."""
        try:
            return self._stamps() != self._known
        except FileNotFoundError:  # gone since the folder was listed
            return True

    def update(self) -> None:
        """Copy what has changed, remove what is gone; nobody may write to the source meanwhile."""
        self.target.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = self._stamps()
        for path in self.target.iterdir():
            if path.is_file() and path.name not in now:
                path.unlink()
        for name, stamp in now.items():
            if self._known.get(name) != stamp or not (self.target / name).exists():
                shutil.copyfile(self._source / name, self.target / name)
        copied_at = time.time_ns()
        self._known = {name: stamp for name, stamp in now.items() if stamp[0] < copied_at - _CLOCK_NS}

    def remove(self) -> None:
        """Delete the copy."""
        self._known = {}
        shutil.rmtree(self.target, ignore_errors=True)

    def _stamps(self) -> dict[str, tuple[int, int]]:
        files = [path for path in self._source.iterdir() if path.is_file() and path.suffix not in _OF_A_RUN]
        return {path.name: ((stat := path.stat()).st_mtime_ns, stat.st_size) for path in files}
