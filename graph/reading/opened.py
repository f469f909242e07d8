"""Bytes and lines of files as people have them: compressed or not, in any of the usual encodings, with any line end.

A file is read in blocks of whole lines, so its size does not matter. What cannot be decoded costs its line.
"""

from __future__ import annotations

import codecs
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from graph.errors import InvalidInput

Readable = Path | zipfile.Path
"""A file, or a file inside a zip file."""
COMPRESSED: Final = (".gz", ".zst", ".zip")
BLOCK_BYTES: Final = 1 << 25
_ZSTD, _GZIP, _ZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"PK\x03\x04"
_MARKS: Final = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WESTERN: Final = "cp1252"
_ENOUGH: Final = 3  # lines with a letter that only Windows-1252 explains: one or two may be damage
# A letter with an accent beside an ASCII letter or alone as a word, or a curly quote, a dash, an ellipsis.
_WESTERN_LETTER: Final = re.compile(rb"[\x85\x91-\x97\xc0-\xd6\xd8-\xf6\xf8-\xfd\xdf]")
_HIGH: Final = re.compile(rb"[\x80-\xff]")


def stem_of(path: Readable) -> tuple[str, str]:
    """The name of a file without its suffixes, and the suffix that says what it holds, in small letters: ("songs",
    ".csv") of `Songs.CSV.gz`."""
    name = path.name.lower()
    for packed in COMPRESSED:
        name = name.removesuffix(packed)
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if dot else (name, "")


@contextmanager
def open_bytes(path: Readable) -> Iterator[IO[bytes]]:
    """The contents of a file, or of the only file in a `.zip`, unpacked if it is `.gz` or `.zst` whatever its name.

    Raises: InvalidInput if it cannot be read.
    """
    try:
        stream: IO[bytes] = path.open("rb")
    except OSError as failure:
        raise InvalidInput(f"{path}: cannot be read ({failure.strerror})") from failure
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as failure:  # a password, an odd kind of packing
        raise InvalidInput(f"{path}: cannot be read ({' '.join(str(failure).split())[:200]})") from failure
    with stream:
        try:
            start = stream.read(4)
            stream.seek(0)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as failure:
            raise InvalidInput(f"{path}: damaged ({' '.join(str(failure).split())[:200]})") from failure
        if start.startswith(_GZIP) or start == _ZSTD:
            import pyarrow as pa

            with pa.input_stream(stream, compression="gzip" if start != _ZSTD else "zstd") as unpacked:
                yield io.BufferedReader(unpacked)
        elif start == _ZIP:
            with _only_member(path, stream) as unpacked:
                yield unpacked
        else:
            yield stream


def _only_member(path: Readable, stream: IO[bytes]) -> IO[bytes]:
    try:
        packed = zipfile.ZipFile(stream)
    except zipfile.BadZipFile as failure:
        raise InvalidInput(f"{path}: expected a whole zip file ({failure})") from failure
    inside = [one.filename for one in packed.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX")]
    if len(inside) != 1:
        raise InvalidInput(f"{path}: expected one file in it, got {len(inside)}")
    return packed.open(inside[0])


@dataclass
class Block:
    """Whole lines of a file, each ended by LF (the last one perhaps not); `first` is the number of the first (from 1).

    faulty: lines that are not in the file's encoding, (number, reason, text as far as it can be shown); an empty line
    stands in their place.
    """

    text: str
    first: int
    faulty: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many lines there are."""
        return self.text.count("\n") + (self.text != "" and not self.text.endswith("\n"))

    @property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        lines = self.text.split("\n")
        if lines[-1] == "":
            lines.pop()
        return lines


@dataclass
class TextFile:
    """A text file of any encoding, read once from its beginning; `note` says what was found out about it.

    otherwise: the encoding of a file that is not UTF-8, where its format says which.
    """

    path: Readable
    otherwise: str | None = None
    note: str | None = None

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[Block]:
        """Blocks of about `size` bytes.

        Raises: InvalidInput if the file is empty, or cannot be read to its end.
        """
        encoding, end, line, rest, anything = "", "", 1, b"", False
        size = max(size, 4)  # the longest byte order mark
        with open_bytes(self.path) as stream:
            while True:
                data = self._more(stream, size)
                over = not data
                if not encoding:
                    encoding, mark = _encoding_of(data)
                    data = data[mark:]
                anything = anything or bool(data.strip())
                whole = rest + data
                if not end:
                    end = _line_end(whole, encoding, last=over)
                    if not end:
                        rest = whole
                        continue
                cut = len(whole) if over else _last_end(whole, end.encode(encoding))
                whole, rest = whole[:cut], whole[cut:]
                if whole:
                    block, encoding = self._decoded(whole, encoding, end, line)
                    line += block.size
                    yield block
                if over:
                    break
        if not anything:
            raise InvalidInput(f"{self.path}: the file is empty")

    def _more(self, stream: IO[bytes], size: int) -> bytes:
        try:
            return stream.read(size)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as failure:
            reason = " ".join(str(failure).split())[:200]
            raise InvalidInput(f"{self.path}: damaged, or it ends early ({reason})") from failure

    def _decoded(self, data: bytes, encoding: str, end: str, first: int) -> tuple[Block, str]:
        """The lines of some bytes, and the encoding from here on."""
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            other = self.otherwise or (_WESTERN if _is_western(data) else None)
            if encoding == "utf-8" and other is not None:
                self.note = f"not UTF-8, read as {'Windows-1252' if other == _WESTERN else other}"
                return self._decoded(data, other, end, first)
            return _line_by_line(data, encoding, end, first), encoding
        if "\0" in text:
            return _line_by_line(data, encoding, end, first), encoding
        return Block(_with_newlines(text, end), first), encoding


def _with_newlines(text: str, end: str) -> str:
    if end == "\r":
        return text.replace("\r", "\n")
    return text.replace("\r\n", "\n") if "\r" in text else text


def _line_by_line(data: bytes, encoding: str, end: str, first: int) -> Block:
    block, lines = Block("", first), []
    for number, part in enumerate(_cut(data, end.encode(encoding)), first):
        try:
            text = part.decode(encoding)
            if "\0" in text:
                block.faulty.append((number, "expected text, got a zero byte", text.strip("\r\n")))
            lines.append("\n" if "\0" in text else _with_newlines(text, end))
        except UnicodeDecodeError as failure:
            shown = part.decode(encoding, "replace").strip("\r\n")
            reason = f"expected {encoding.upper()} text, got the byte 0x{part[failure.start]:02x}"
            block.faulty.append((number, reason, shown))
            lines.append("\n")
    block.text = "".join(lines)
    return block


def _cut(data: bytes, end: bytes) -> list[bytes]:
    """The lines of some bytes with their ends; a character's half that looks like an end does not count."""
    if len(end) == 1:
        return [part + end for part in data.removesuffix(end).split(end)]
    parts, start = [], 0
    for at in range(0, len(data), len(end)):
        if data[at : at + len(end)] == end:
            parts.append(data[start : at + len(end)])
            start = at + len(end)
    return [*parts, data[start:]] if start < len(data) else parts


def _encoding_of(data: bytes) -> tuple[str, int]:
    """The encoding that a file's beginning tells, and the length of its byte order mark."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, len(mark)
    start = data[:4096]
    for odd, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        # ASCII in UTF-16 has a zero in every second place
        if len(start) >= 4 and start[odd::2].count(0) > 0.8 * len(start[odd::2]) and 0 not in start[1 - odd :: 2]:
            return encoding, 0
    return "utf-8", 0


def _line_end(data: bytes, encoding: str, *, last: bool) -> str:
    """The only line end of old Macs is CR; otherwise lines end in LF, with or without CR before it. Empty if these
    bytes do not tell yet, and are not the `last` ones."""
    text = data.decode(encoding, "replace")
    if "\n" in text or (last and "\r" not in text):
        return "\n"
    return "\r" if "\r" in (text if last else text[:-1]) else ""


def _last_end(data: bytes, end: bytes) -> int:
    """Where the last whole line ends (0: there is none)."""
    at = len(data)
    while (at := data.rfind(end, 0, at)) >= 0:
        if at % len(end) == 0:
            return at + len(end)
        at += len(end) - 1
    return 0


def _is_western(data: bytes) -> bool:
    """Whether these bytes are Windows-1252 throughout, rather than UTF-8 with damage in a few places."""
    lines = [line for line in data.splitlines() if _HIGH.search(line)]
    if len(lines) < _ENOUGH:
        return False
    for line in lines:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return False
    likely = sum(len(_WESTERN_LETTER.findall(line)) for line in lines)
    return likely >= 0.9 * sum(len(_HIGH.findall(line)) for line in lines)
