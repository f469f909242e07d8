"""Named arrays in one file: what a snapshot, vectors and models are stored as.

`NAME.bin` holds the arrays one after the other, each on a 64-byte boundary; `NAME.json` says where. One map opens
them all, so a release of a hundred arrays opens in a few milliseconds and several workers share the same pages. The
same arrays always give the same bytes, which is what a release's digest rests on.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graph.errors import CorruptRelease
from graph.files import sync

Array = npt.NDArray[Any]

_ALIGNMENT: Final = 64


def write_arrays(path: Path, arrays: Mapping[str, Array], meta: Mapping[str, Any] | None = None) -> None:
    """Write `arrays` to `path`.bin and their places, with `meta` (JSON), to `path`.json; durable on return."""
    entries: dict[str, Any] = {}
    offset = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".bin").open("wb") as file:
        for name in sorted(arrays):
            value = np.ascontiguousarray(arrays[name]).reshape(np.shape(arrays[name]))
            padding = -offset % _ALIGNMENT
            file.write(b"\0" * padding)
            offset += padding
            entries[name] = {"dtype": value.dtype.str, "shape": list(value.shape), "offset": offset}
            file.write(value.tobytes())
            offset += value.nbytes
        sync(file.fileno(), file.flush)
    with path.with_suffix(".json").open("w", encoding="utf-8") as text:
        json.dump({"arrays": entries, "meta": dict(meta or {})}, text, sort_keys=True, ensure_ascii=False)
        sync(text.fileno(), text.flush)


def read_arrays(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the meta of `path`, memory-mapped and read-only.

    Raises: CorruptRelease if a file is missing, cut short or not what `write_arrays` wrote.
    """
    binary, index = path.with_suffix(".bin"), path.with_suffix(".json")
    try:
        described = json.loads(index.read_text(encoding="utf-8"))
        size = binary.stat().st_size
        # A map keeps the file's pages even when the folder is pruned while a worker still serves from it.
        with binary.open("rb") as file:
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        arrays = {}
        for name, entry in described["arrays"].items():
            dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
            count = int(np.prod(shape, dtype=np.int64))
            if min(entry["offset"], *shape, 0) < 0:
                raise CorruptRelease(f"{index}: array {name!r} has a place or a shape below 0")
            if entry["offset"] + count * dtype.itemsize > size:
                raise CorruptRelease(f"{binary}: cut short ({size} bytes) at array {name!r}")
            arrays[name] = (
                np.frombuffer(buffer, dtype=dtype, count=count, offset=entry["offset"]).reshape(shape)
                if count
                else np.empty(shape, dtype=dtype)
            )
        return arrays, described["meta"]
    except (OSError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise CorruptRelease(f"{binary}: cannot be read ({error})") from error


def touch(arrays: Mapping[str, Array]) -> None:
    """Read a byte of every page of some arrays, so that nobody waits later for the disk, or for a page to be mapped."""
    for values in arrays.values():
        if values.flags.c_contiguous:
            values.reshape(-1).view(np.uint8)[:: mmap.PAGESIZE].max(initial=0)


def digest_of(arrays: Iterable[tuple[str, Array]]) -> str:
    """SHA-256 over names, types, shapes and contents, whatever the order they come in."""
    digest = hashlib.sha256()
    for name, value in sorted(arrays, key=lambda pair: pair[0]):
        digest.update(f"{name}|{value.dtype.str}|{value.shape}|".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
