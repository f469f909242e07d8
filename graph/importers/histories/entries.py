"""Entries of JSON files, an array or one a line, and the typed fields of an entry."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from graph.batch import Batch, one_line
from graph.errors import InvalidInput
from graph.importers.base import parsed_json
from graph.importers.histories.members import Member
from graph.reading.opened import TextFile

_LINES: Final = (".jsonl", ".ndjson")
_BLOCK: Final = 200_000  # entries of an array at once
_FAR: Final = 1e18  # no number of a history is larger


class Entry:
    """One JSON object; a field that cannot be read is noted in `lost`, (line, field, value, reason)."""

    def __init__(self, held: dict[str, Any], line: int | None) -> None:
        self._held, self.line = held, line
        self.lost: list[tuple[int | None, str, str | None, str]] = []

    def get(self, *path: str) -> Any:
        """What stands there, or None; what is no object on the way there is noted."""
        if len(path) == 1:
            return self._held.get(path[0])
        found: Any = self._held
        for done, name in enumerate(path):
            if not isinstance(found, dict):
                self._lose(".".join(path[:done]), found, "an object")
                return None
            found = found.get(name)
            if found is None:
                return None
        return found

    def text(self, *path: str) -> str | None:
        """A text that is not blank."""
        found = self.get(*path)
        if found is None:
            return None
        if not isinstance(found, str):
            self._lose(".".join(path), found, "text")
            return None
        if not found.isascii():
            try:
                found.encode()
            except UnicodeEncodeError:
                self._lose(".".join(path), ascii(found), "text in UTF-8")
                return None
        return found if found.strip() else None

    def number(self, *path: str) -> float | None:
        """A finite number, or a text that is one."""
        found = self.get(*path)
        if found is None or (isinstance(found, str) and not found.strip()):
            return None
        try:
            value = math.nan if isinstance(found, bool) else float(found)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not abs(value) < _FAR:
            self._lose(".".join(path), found, "a number")
            return None
        return value

    def truth(self, *path: str) -> bool | None:
        """True or false."""
        found = self.get(*path)
        if found is None or isinstance(found, bool):
            return found
        self._lose(".".join(path), found, "true or false")
        return None

    def shown(self) -> str:
        """The entry for the report of what was rejected."""
        return _shown(self._held)

    def _lose(self, name: str, value: Any, expected: str) -> None:
        text = value if isinstance(value, str) else _shown(value)
        self.lost.append((self.line, name, text, f"{name}: expected {expected}, got {one_line(text, 40)!r}"))


def entries(member: Member, batch: Batch) -> Iterator[list[Entry]]:
    """The objects of a file in blocks; what is none goes to the batch's rejects. `line`: of an array the number of the
    entry, from 1.

    Raises: InvalidInput for a file that is empty or damaged, or holds neither an array nor a line for each entry.
    """
    for block in _lines(member, batch) if member.base.endswith(_LINES) else _array(member, batch):
        batch.read += len(block)
        wrong = [(line, held) for line, held in block if not isinstance(held, dict)]
        batch.reject(member.name, [(n, f"expected an object, got {_kind(h)}", _shown(h)) for n, h in wrong])
        yield [Entry(held, line) for line, held in block if isinstance(held, dict)]


def json_of(member: Member, batch: Batch) -> Any:
    """What a JSON file holds; a byte that is no text costs a character, and is reported.

    Raises: InvalidInput for a file that is empty or damaged, or no JSON.
    """
    parts = []
    for block in TextFile(member.file).blocks():
        lines = block.lines
        for number, reason, shown in block.faulty:
            lines[number - block.first] = shown
            batch.lose(member.name, [(None, "", None, f"line {number}: {reason}: the character is lost")])
        parts.append("\n".join(lines))
    return parsed_json("\n".join(parts), member.file)


def _array(member: Member, batch: Batch) -> Iterator[list[tuple[int, Any]]]:
    held = json_of(member, batch)
    if not isinstance(held, list):
        raise InvalidInput(f"{member.file}: expected an array of entries, got {_kind(held)}")
    for start in range(0, len(held), _BLOCK):
        yield list(enumerate(held[start : start + _BLOCK], start + 1))


def _lines(member: Member, batch: Batch) -> Iterator[list[tuple[int, Any]]]:
    for block in TextFile(member.file).blocks():
        found: list[tuple[int, Any]] = []
        bad = list(block.faulty)
        for line, text in enumerate(block.lines, block.first):
            if text.strip():
                try:
                    found.append((line, json.loads(text)))
                except (ValueError, RecursionError) as failure:
                    bad.append((line, f"expected JSON ({one_line(getattr(failure, 'msg', str(failure)), 80)})", text))
        batch.read += len(bad)
        batch.reject(member.name, bad)
        yield found


def _kind(held: Any) -> str:
    """What JSON calls it."""
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(held), "a number")


def _shown(held: Any) -> str:
    try:
        return json.dumps(held)[:1000]
    except RecursionError:
        return "(too deep to show)"
