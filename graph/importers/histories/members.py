"""The files of an export: a folder's, a zip file's, or a single file."""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from graph.errors import InvalidInput
from graph.reading.opened import COMPRESSED, Readable, open_bytes

_HEAD_BYTES: Final = 1 << 16
_WIDE: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Member:
    """One file of an export; `name` is its path in the folder or zip file, for messages; `source` the file on disk."""

    name: str
    file: Readable
    source: Path

    @property
    def base(self) -> str:
        """The file's name in small letters, without folders and without `.gz` or `.zst`."""
        name = self.name.rpartition("/")[2].lower()
        for packed in COMPRESSED:
            name = name.removesuffix(packed)
        return name

    def head(self) -> str:
        """The beginning of the file as a text; empty if it cannot be read."""
        try:
            with open_bytes(self.file) as stream:
                data = stream.read(_HEAD_BYTES)
        except (InvalidInput, OSError, EOFError):
            return ""
        return data.decode(_WIDE.get(data[:2], "utf-8-sig"), "replace")


def members(path: Path) -> list[Member]:
    """All files of a folder and of the zip files in it, of a zip file, or the file itself, sorted by name.

    Raises: InvalidInput for a broken zip file.
    """
    if not path.is_dir():
        return list(_inside(path, "")) if _is_zip(path) else [Member(path.name, path, path)]
    found: list[Member] = []
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and not _is_foreign(name):
            found.extend(_inside(file, f"{name}/") if _is_zip(file) else [Member(name, file, file)])
    return found


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _is_foreign(name: str) -> bool:
    """Whether the file is one that an operating system left there."""
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] in (".DS_Store", "Thumbs.db", "desktop.ini")


def _inside(path: Path, before: str) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(path)
        names = sorted(one.filename for one in archive.infolist() if not one.is_dir())
    except (zipfile.BadZipFile, OSError, NotImplementedError) as failure:
        raise InvalidInput(f"{path}: expected a whole zip file ({' '.join(str(failure).split())[:200]})") from failure
    for name in names:
        if not _is_foreign(name):
            yield Member(before + name, zipfile.Path(archive, name), path)
