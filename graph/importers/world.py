"""`world`: the built-in synthetic music world, generated into the path when it is not there, then read as `tables`.

Without options a world that is there is taken as it is; with options it is made anew unless it was made with them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from graph.batch import Batch
from graph.catalogue import Progress
from graph.errors import InvalidInput
from graph.importers.tables import Tables


class World:
    """The world at `path`; `events`: how many to aim at (default: what so many listeners do in so many days); `bursts`:
    how many songs are suddenly sought (default: none)."""

    format = "world"

    def __init__(
        self,
        path: Path,
        *,
        users: int | None = None,
        songs: int | None = None,
        days: int | None = None,
        seed: int | None = None,
        events: int | None = None,
        bursts: int | None = None,
    ) -> None:
        self._path = path
        self.source_name = path.resolve().as_posix()
        given = {"users": users, "songs": songs, "days": days, "seed": seed, "events": events, "bursts": bursts}
        self._options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        for name, value in self._options.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidInput(f"{name}: expected an integer, got {value!r}")

    @staticmethod
    def recognises(path: Path) -> bool:
        return (path / "world.json").is_file()

    def files(self) -> list[Path]:
        return Tables(self._path).files()

    def read(self, progress: Progress) -> Batch:
        self._make(progress)
        batch = Tables(self._path).read(progress)
        batch.format = self.format
        # Another world in the same folder is another source: nobody wants two worlds mixed unasked.
        digest = hashlib.blake2b((self._path / "world.json").read_bytes(), digest_size=4).hexdigest()
        self.source_name = f"{self._path.resolve().as_posix()}@{digest}"
        return batch

    def _make(self, progress: Progress) -> None:
        from graph.world import WorldConfig, exists, generate  # compiles kernels: only when a world is wanted

        if not self._options and (self._path / "world.json").is_file():
            return
        try:
            config = WorldConfig(**self._options)
        except ValueError as failure:
            raise InvalidInput(f"world: {failure}") from failure
        if not exists(self._path, config):
            generate(self._path, config, progress)
