"""Whether the values that a query from outside makes are bounded by what the graph stores.

The engine counts the rows that it holds (sorting, grouping, DISTINCT, UNION, cartesian products) and ends loops over
rows at their time limit. It counts neither the memory nor the time of an expression: `s + s` inside `reduce` doubles a
text until the JVM has no memory left. A query is bounded here if each of its expressions is made of known parts whose
values stay about as large as one stored element. Every other query, harmless or not, runs in a process of its own
(`graph.store.isolated`), so a part that this file does not know costs time, never the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from graph.store.guard import tokens

# Each `+` and `||` doubles a value at most.
MOST_SUMS: Final = 4
# Characters of the parameters and of the query's texts, times the words that may name them.
MOST_REPEATED: Final = 2**22

_FUNCTIONS: Final = frozenset(
    """count sum avg min max stdev stdevp percentilecont percentiledisc
    id elementid type labels keys properties size length nodes relationships startnode endnode head last
    coalesce exists isempty nullif tostring tointeger tofloat toboolean
    tolower toupper lower upper trim ltrim rtrim substring left right
    abs ceil floor round sign sqrt exp log log10 pi rand timestamp date datetime duration""".split()  # noqa: SIM905
)
# Words of Cypher that a parenthesis may follow without being a call.
_KEYWORDS: Final = frozenset(
    """match optional where and or xor not in return with distinct as by order union unwind call then else when
    case on is null limit skip asc desc ascending descending starts ends contains yield""".split()  # noqa: SIM905
)
_SUBQUERIES: Final = frozenset({"exists", "count", "call"})
# Clauses that hand values on: where there are none, a list or map has at most as many parts as the query has words.
_HANDING_ON: Final = frozenset({"with", "call", "unwind", "foreach"})
_CLAUSES: Final = frozenset({"match", "optional", "with", "unwind", "call", "return"})
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")

_Token = tuple[str, str]
_NONE: Final[_Token] = ("other", "")


def is_bounded(query: str, parameters: Mapping[str, Any]) -> bool:
    """Whether the query may share the engine with others; `guard.check` has let it pass."""
    found = tokens(query)
    if "\\u" in query or _repeated(found, parameters) > MOST_REPEATED or _sums(found) > MOST_SUMS:
        return False
    once = not any(kind == "word" and text.lower() in _HANDING_ON for kind, text in found)
    return all(_is_known(found, at, once) for at in range(len(found)))


def _repeated(found: list[_Token], parameters: Mapping[str, Any]) -> int:
    words = sum(kind in ("word", "quoted") for kind, _ in found)
    return words * (_characters(parameters) + sum(len(text) for kind, text in found if kind == "text"))


def _sums(found: list[_Token]) -> int:
    return found.count(("other", "+")) + sum(pair == (("other", "|"),) * 2 for pair in pairwise(found))


def _is_known(found: list[_Token], at: int, once: bool) -> bool:
    kind, text = found[at]
    before = _at(found, at - 1)
    if kind != "other":
        return True
    if text == "(":
        return _calls_known_function(found, at)
    if text == "[":
        if before == ("other", "-") and _is_plain_relationship(found, at):
            return True
        return _has_only_literals(found, at) or (once and _has_only_values(found, at))
    if text == "{":
        return _is_subquery(found, at) or _is_flat_map(found, at) or (once and _is_map_of_values(found, at))
    if text in "+*" and before[0] == "other" and before[1] in (">", "-", ")"):
        return _at(found, at + 1)[0] == "number"  # otherwise it may repeat a pattern: (a)-->+(b)
    return True


def _calls_known_function(found: list[_Token], at: int) -> bool:
    """Also true where the parenthesis calls nothing."""
    kind, name = _at(found, at - 1)
    if kind != "word":
        return kind != "quoted"
    start = at - 2
    while _at(found, start) == ("other", "."):
        start -= 2
    if start < at - 2:  # a name with dots: a procedure, which the guard knows, or a function of a library
        return _at(found, start)[1].upper() == "CALL"
    return name.lower() in _FUNCTIONS or name.lower() in _KEYWORDS


def _has_only_literals(found: list[_Token], at: int) -> bool:
    return all(kind in ("number", "text") or text in (",", "-", ".") for kind, text in _inside(found, at))


def _has_only_values(found: list[_Token], at: int) -> bool:
    """Names, calls, lists and maps side by side: no list made from another, no pattern, no operator."""
    return all(
        text in (",", ".", "(", ")", "[", "]", "{", "}", ":")
        if kind == "other"
        else text.lower() not in ("in", "where")
        for kind, text in _inside(found, at)
    )


def _is_map_of_values(found: list[_Token], at: int) -> bool:
    return _at(found, at + 1)[0] == "word" and _at(found, at + 2) == ("other", ":") and _has_only_values(found, at)


def _is_plain_relationship(found: list[_Token], at: int) -> bool:
    """A name, types and properties: no length to vary, no list, no condition."""
    inside = _inside(found, at)
    if ("other", "{") in inside:
        if inside[-1] != ("other", "}"):
            return False
        inside = inside[: inside.index(("other", "{"))]  # the map is looked at where it begins
    return all(text in (":", "|", "&", "!") if kind == "other" else text.lower() != "in" for kind, text in inside)


def _is_subquery(found: list[_Token], at: int) -> bool:
    """`EXISTS { MATCH …`; a map of a variable that is named so goes on otherwise."""
    if _at(found, at - 1)[1].lower() not in _SUBQUERIES:
        return False
    first, second = _at(found, at + 1), _at(found, at + 2)
    return first == ("other", "(") or (first[1].lower() in _CLAUSES and second != ("other", ":"))


def _is_flat_map(found: list[_Token], at: int) -> bool:
    """`{name: value, …}` of literals, parameters or properties: a map of maps could double at each step."""
    inside = _inside(found, at)
    entries: list[list[_Token]] = [[]]
    for token in inside:
        if token == ("other", ","):
            entries.append([])
        else:
            entries[-1].append(token)
    return not inside or all(entry[1:2] == [("other", ":")] and _is_small(entry[2:]) for entry in entries)


def _is_small(value: list[_Token]) -> bool:
    """A literal, a parameter, or a property, which is smaller than what has it."""
    kinds, texts = [kind for kind, _ in value], [text for _, text in value]
    if kinds == ["word"]:
        return texts[0].startswith("$") or texts[0].lower() in ("true", "false", "null")
    return kinds in (["number"], ["text"]) or (kinds == ["word", "other", "word"] and texts[1] == ".")


def _inside(found: list[_Token], at: int) -> list[_Token]:
    """The tokens between the bracket at `at` and the one that closes it."""
    depth = 0
    for end in range(at, len(found)):
        kind, text = found[end]
        depth += (text in _OPENING) - (text in _CLOSING) if kind == "other" else 0
        if depth == 0:
            return found[at + 1 : end]
    return found[at + 1 :]


def _at(found: list[_Token], position: int) -> _Token:
    return found[position] if 0 <= position < len(found) else _NONE


def _characters(value: object) -> int:
    """About how many characters a parameter holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_characters(key) + _characters(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return sum(8 + _characters(item) for item in value)
    return 8
