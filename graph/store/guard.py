"""What a query from outside may be: one reading statement, no files, known procedures only.

This is the first of two layers; the second is the reader's rights, which the engine keeps by itself. This one reads the
query's text as Cypher's own lexer would (comments, texts, back-ticked names and Unicode escapes), so that an odd
spelling hides nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from graph.errors import InvalidInput, QueryRefused

MAX_QUERY_CHARACTERS: Final = 20_000
# Past these the parsers of both engines run out of stack, and Neo4j then leaves its client waiting for two minutes.
MAX_TOKENS: Final = 4_000
MAX_NESTING: Final = 100
MAX_DEPTH: Final = 64
PROCEDURES: Final = frozenset(
    {"db.labels", "db.relationshiptypes", "db.propertykeys", "db.schema.visualization", "dbms.components"}
)
_WRITES: Final = frozenset(
    {"CREATE", "MERGE", "DELETE", "DETACH", "SET", "REMOVE", "DROP", "FOREACH", "INSERT", "ALTER", "GRANT", "REVOKE"}
)

# A statement that opens with another word is no Cypher, and the engine says so better.
_ADMINISTRATION: Final = frozenset(
    {"EXPLAIN", "PROFILE", "CYPHER", "USE", "SHOW", "TERMINATE", "START", "STOP", "DENY", "RENAME", "ENABLE", "DRYRUN"}
)

_TOKEN: Final = re.compile(
    r"""(?P<comment>/\*.*?(?:\*/|\Z)|//[^\r\n]*)
      | (?P<text>"(?:\\.|[^"\\])*(?:"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z))
      | `(?P<quoted>(?:``|[^`])*)(?:`|\Z)
      | (?P<word>\$?[^\W\d]\w*)
      | (?P<number>\d\w*)
      | (?P<space>\s+)
      | (?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\u+([0-9A-Fa-f]{4})")


def tokens(query: str) -> list[tuple[str, str]]:
    """(kind, text) of every token that means something: words, back-ticked names, texts, numbers and signs."""
    found = []
    for match in _TOKEN.finditer(query):
        kind = match.lastgroup or "other"
        if kind not in ("comment", "space"):
            found.append((kind, match.group(kind) or ""))
    return found


def check(query: object) -> str:
    """The query, if its text may run for somebody outside.

    Raises: InvalidInput if it is no statement at all, QueryRefused if it does more than read the graph.
    """
    if not isinstance(query, str):
        raise InvalidInput(f"query: expected text, got {type(query).__name__}")
    if not query.strip():
        raise InvalidInput("query: expected Cypher, got an empty text")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InvalidInput(f"query: expected at most {MAX_QUERY_CHARACTERS} characters, got {len(query)}")
    if any(0xD800 <= ord(c) < 0xE000 for c in query):
        raise InvalidInput("query: expected UTF-8, got a lone surrogate")
    # Neo4j resolves \\uXXXX before it looks for tokens, ArcadeDB does not: neither reading may hide anything.
    for reading in dict.fromkeys((query, _ESCAPE.sub(lambda m: chr(int(m[1], 16)), query))):
        _check_tokens(tokens(reading))
    return query


def _check_tokens(found: list[tuple[str, str]]) -> None:
    while found and found[-1] == ("other", ";"):
        found = found[:-1]
    if not found:
        raise InvalidInput("query: expected Cypher, got comments only")
    if ("other", ";") in found:
        raise QueryRefused("query refused: expected one statement, got several")
    _check_nesting(found)
    opening = next((text for kind, text in found if (kind, text) != ("other", "(")), "").upper()
    if opening == "LOAD" or _loads(found):
        raise QueryRefused("query refused: LOAD CSV reads files")
    if opening in _WRITES:
        raise QueryRefused(f"query refused: it may write ({opening})")
    if opening in _ADMINISTRATION:
        raise QueryRefused(f"query refused: {opening} is not for queries from outside")
    for name in _called(found):
        if name not in PROCEDURES:
            raise QueryRefused(f"query refused: procedure {name!r} is not on the list of those allowed")


def _check_nesting(found: list[tuple[str, str]]) -> None:
    if len(found) > MAX_TOKENS:
        raise InvalidInput(f"query: expected at most {MAX_TOKENS} words and signs, got {len(found)}")
    depth = run = 0
    for kind, text in found:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text, 0) if kind == "other" else 0
        run = run + 1 if text.upper() in {"NOT", "-", "+"} else 0
        if max(depth, run) > MAX_NESTING:
            raise InvalidInput(f"query: nested deeper than {MAX_NESTING}")


def _loads(found: list[tuple[str, str]]) -> bool:
    words = [text.upper() if kind == "word" else "" for kind, text in found]
    return ("LOAD", "CSV") in pairwise(words)


def _called(found: list[tuple[str, str]]) -> Iterator[str]:
    """Names of the procedures after CALL, in lower case; a subquery (`CALL {`, `CALL (x) {`) is none."""
    for position, (kind, text) in enumerate(found):
        if kind != "word" or text.upper() != "CALL":
            continue
        before = found[position - 1] if position else ("other", "")
        if before in (("other", "."), ("other", ":")):
            continue  # a property or a label of that name
        name: list[str] = []
        for kind_after, after in found[position + 1 :]:
            expected = kind_after in ("word", "quoted") if len(name) % 2 == 0 else after == "."
            if not expected:
                break
            name.append(after.strip())
        if name:
            yield "".join(name).lower()


def check_parameters(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters, if Bolt can carry them: null, truth values, 64-bit integers, numbers, texts, lists and maps.

    Raises: InvalidInput that names the parameter.
    """
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise InvalidInput(f"parameters: expected a map, got {type(parameters).__name__}")
    for name, value in parameters.items():
        if not isinstance(name, str) or _surrogate(name):
            raise InvalidInput(f"parameters: expected names in text, got {name!r}")
        _check_value(f"parameter {name!r}", value, MAX_DEPTH)
    return dict(parameters)


def _check_value(where: str, value: object, depth: int) -> None:
    if depth < 0:
        raise InvalidInput(f"{where}: nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, (bool, float)):
        return
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidInput(f"{where}: expected an integer of 64 bits, got {value}")
    elif isinstance(value, str):
        if _surrogate(value):
            raise InvalidInput(f"{where}: expected UTF-8, got a lone surrogate")
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_value(where, item, depth - 1)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or _surrogate(key):
                raise InvalidInput(f"{where}: expected keys in text, got {key!r}")
            _check_value(where, item, depth - 1)
    else:
        kind = type(value).__name__
        raise InvalidInput(f"{where}: expected text, a number, true, false, null, a list or a map, got {kind}")


def _surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def check_limits(limit: int, timeout_s: float) -> None:
    """Raises: InvalidInput unless both are positive."""
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InvalidInput(f"limit: expected a positive integer, got {limit!r}")
    if not isinstance(timeout_s, (int, float)) or not math.isfinite(timeout_s) or timeout_s <= 0:
        raise InvalidInput(f"timeout_s: expected a positive number of seconds, got {timeout_s!r}")
