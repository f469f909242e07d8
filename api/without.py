"""`TYPE:from_id:to_id`: the relationship that somebody asks to leave out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from graph.errors import InvalidInput
from graph.reasons.edges import Edge
from graph.reasons.reason import Reason
from graph.schema import RELATIONSHIPS, problem_of_id
from recall.live.edits import Edits

_TYPES: Final = frozenset(relationship.type for relationship in RELATIONSHIPS)


def readings(text: str) -> list[Edge]:
    """Every reading of `TYPE:from_id:to_id`: ids may hold colons.

    Raises: InvalidInput if there is none.
    """
    type_, _, ids = text.partition(":")
    halves = [(ids[:i], ids[i + 1 :]) for i, letter in enumerate(ids) if letter == ":"]
    found = [(type_, *ends) for ends in halves if not any(problem_of_id(end) for end in ends)]
    if not found or type_ not in _TYPES:
        raise InvalidInput(f"without: expected TYPE:from_id:to_id with a relationship type of the graph, got {text!r}")
    return found


def meant(found: list[Edge], reasons: Iterable[Reason], edits: Edits) -> Edge | None:
    """The reading that one of the reasons uses, else the first whose ends are known; None if there is neither."""
    cited = set[Edge]().union(*(reason.edges() for reason in reasons))
    used = next((edge for edge in found if edge in cited), None)
    return used or next((edge for edge in found if _known(edge, edits)), None)


def _known(edge: Edge, edits: Edits) -> bool:
    type_, *ends = edge
    return any(
        all(_holds(edits, label, id_) for label, id_ in zip((kind.source, kind.target), ends, strict=True))
        for kind in RELATIONSHIPS
        if kind.type == type_
    )


def _holds(edits: Edits, label: str, id_: str) -> bool:
    return edits.song(id_) >= 0 if label == "Song" else edits.snapshot.ids[label].index(id_) >= 0
