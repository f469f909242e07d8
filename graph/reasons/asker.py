"""Who asks for reasons: a listener as the release knows him, with what happened since; or a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.reasons.reason import Node
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import UNKNOWN_INTEGER, Snapshot

Since = Mapping[int, int | None]
"""When each of some positions was followed (epoch milliseconds), None where that is unknown."""


@dataclass(frozen=True)
class Follows:
    """Whom a listener follows: positions of people and of artists."""

    people: Since = field(default_factory=dict)
    artists: Since = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, user: int) -> Follows:
        """Those of the release; `user` is a position, -1 for somebody unknown."""
        return cls(*(_since(snapshot.relation(name), user) for name in ("FOLLOWS", "FOLLOWS_ARTIST")))


@dataclass(frozen=True)
class Asker:
    """A listener, or a session of songs.

    `user` is a position among the release's users, -1 for somebody it does not know; `follows` is whom the listener
    follows now, None for those of the release. `session` holds positions of songs, `since` those of songs that the
    listener liked of late, with the verb that says how ("played"). `undone` are (relationship type, song) of edges that
    no longer hold, `blocked` songs that are no reason for anything.
    """

    user: int = -1
    user_id: str | None = None
    follows: Follows | None = None
    session: tuple[int, ...] = ()
    since: Mapping[int, str] = field(default_factory=dict)
    undone: frozenset[tuple[str, int]] = frozenset()
    blocked: frozenset[int] = frozenset()

    def followed(self, snapshot: Snapshot) -> Follows:
        """Whom the listener follows now."""
        return Follows.of(snapshot, self.user) if self.follows is None else self.follows

    def node(self, snapshot: Snapshot) -> Node | None:
        """The listener's node, None for a session."""
        if self.user >= 0:
            return Node.of(snapshot, "User", self.user)
        return None if self.user_id is None else Node("User", self.user_id, self.user_id)


def _since(relation: Relation, user: int) -> dict[int, int | None]:
    if user < 0:
        return {}
    at = relation.edges_of(user)
    when = relation.properties["since"][at].tolist()
    known = [None if value == UNKNOWN_INTEGER else value for value in when]
    return dict(zip(relation.indices[at].tolist(), known, strict=True))
