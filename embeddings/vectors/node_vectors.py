"""Vectors of the nodes of an edge list, and how they are written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graph.errors import InvalidInput
from graph.snapshot.arrays import Array

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


@dataclass(frozen=True)
class NodeVectors:
    """What a model learned, and from how much.

    Shapes: ids N texts; vectors (N, D) float32; counts (N,) occurrences in the walks; edges: distinct edges walked or
    trained on; walks, tokens: their number and the nodes on them; walk_s, train_s: seconds.
    """

    ids: list[str]
    vectors: Array
    counts: Array
    edges: int
    walks: int
    tokens: int
    walk_s: float
    train_s: float

    def keyed_vectors(self) -> KeyedVectors:
        """As gensim's `KeyedVectors`, the most frequent node first, with its `count`."""
        from gensim.models import KeyedVectors

        order = np.argsort(-self.counts, kind="stable")
        keyed = KeyedVectors(self.vectors.shape[1])
        keyed.add_vectors([self.ids[i] for i in order], self.vectors[order])
        keyed.expandos["count"] = self.counts[order]
        return keyed

    def save(self, path: Path) -> None:
        """Write `keyed_vectors` to one file, the old or the new one at any time; `KeyedVectors.load` reads it.

        Raises: InvalidInput if `path` cannot be written.
        """
        with replacing(path) as temporary:
            self.write(temporary)

    def write(self, path: Path) -> None:
        """Write `keyed_vectors` to one file."""
        # gensim would put large arrays into files of their own, which cannot be replaced together
        self.keyed_vectors().save(str(path), sep_limit=2**62)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place at the end, and is gone after an error or an interruption.

    Raises: InvalidInput, before anything is done, if `path` cannot be written.
    """
    if path.is_dir():
        raise InvalidInput(f"{path}: expected a file to write, got a folder")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror})") from error
    try:
        temporary.chmod(0o644)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
