"""A dense index over the ids of one label: 0..n-1 in byte order, without a dictionary in every worker."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from graph.snapshot.arrays import Array


class Strings:
    """n texts as one UTF-8 buffer with offsets; an empty text stands for "unknown"."""

    def __init__(self, offsets: Array, buffer: Array) -> None:
        self.offsets, self.buffer = offsets, buffer

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Strings:
        encoded = [(text or "").encode() for text in texts]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(e) for e in encoded], out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(encoded), dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> str:
        return self.buffer[self.offsets[i] : self.offsets[i + 1]].tobytes().decode()

    def to_list(self) -> list[str]:
        """All n texts."""
        data, ends = self.buffer.tobytes(), self.offsets.tolist()
        return [data[a:b].decode() for a, b in pairwise(ends)]


class Ids(Strings):
    """The ids of one label, sorted by their bytes; `index` finds one by a sorted 64-bit hash."""

    def __init__(self, offsets: Array, buffer: Array, hashes: Array, order: Array) -> None:
        super().__init__(offsets, buffer)
        self.hashes, self.order = hashes, order

    @classmethod
    def sorted_from(cls, ids: Sequence[str]) -> Ids:
        """From ids that are unique and sorted by their UTF-8 bytes."""
        texts = Strings.of(ids)
        hashed = np.fromiter((_hash(i.encode()) for i in ids), dtype=np.uint64, count=len(ids))
        order = np.argsort(hashed, kind="stable").astype(np.int32)
        return cls(texts.offsets, texts.buffer, hashed[order], order)

    def keys(self) -> Array:
        """(N,) the 64-bit hash of each id, by position: the same for an id whatever else is there."""
        found = np.empty(len(self.hashes), dtype=np.uint64)
        found[self.order] = self.hashes
        return found

    def index(self, id_: str) -> int:
        """Where `id_` stands, or -1 if it is unknown. Ids are compared byte for byte."""
        try:
            key = id_.encode()
        except UnicodeEncodeError:
            return -1
        wanted = np.uint64(_hash(key))
        at = int(np.searchsorted(self.hashes, wanted))
        while at < len(self.hashes) and self.hashes[at] == wanted:
            i = int(self.order[at])
            if self.buffer[self.offsets[i] : self.offsets[i + 1]].tobytes() == key:
                return i
            at += 1
        return -1

    def indices(self, ids: Iterable[str]) -> Array:
        """Positions of the known ids among `ids`, in their order; unknown ones are left out."""
        found = (self.index(i) for i in ids)
        return np.array([i for i in found if i >= 0], dtype=np.int32)

    def arrays(self, prefix: str) -> dict[str, Array]:
        """As named arrays, for `write_arrays`."""
        return {
            f"{prefix}/offsets": self.offsets,
            f"{prefix}/buffer": self.buffer,
            f"{prefix}/hashes": self.hashes,
            f"{prefix}/order": self.order,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], prefix: str) -> Ids:
        return cls(*(arrays[f"{prefix}/{part}"] for part in ("offsets", "buffer", "hashes", "order")))


def encode(texts: pl.Series, ids: pl.Series) -> Array:
    """Position in `ids` of every one of `texts` (-1 where unknown), as int32; one hash join for a million rows."""
    table = pl.DataFrame({"id": ids, "index": np.arange(len(ids), dtype=np.int32)})
    joined = pl.DataFrame({"id": texts.cast(pl.String)}).join(table, on="id", how="left", maintain_order="left")
    return joined["index"].fill_null(-1).to_numpy().astype(np.int32)


def _hash(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
