"""Whether a reason is true: its path edge by edge, and its text as one of the sentences that the facts allow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ranking.claims.facts import VERBS, Facts
from ranking.claims.told import is_told

LEADS: Final = {"PERFORMED_BY": "by ", "ON_ALBUM": "from the album ", "HAS_TAG": "tagged ", "HAS_GENRE": ""}
_DONE: Final = {"LISTENED": "played", "LIKED": "liked", "COLLECTED": "collected", "SHARED": "shared"}
_ENOUGH: Final = 3


@dataclass(frozen=True)
class Claim:
    """A reason as it was given: to a listener, or to a session of songs, for a song."""

    reason: Mapping[str, Any]
    song: str
    user: str | None = None
    session: Sequence[str] = ()
    place: tuple[float, float] | None = None
    """Where the request said that the listener is: latitude and longitude."""

    @property
    def nodes(self) -> list[Mapping[str, Any]]:
        return list(self.reason["path"][::2])

    @property
    def hops(self) -> list[Mapping[str, Any]]:
        return list(self.reason["path"][1::2])

    @property
    def tags(self) -> list[str]:
        """Names of the tags that are cited, on the path or in words."""
        named = [node["name"] for node in self.nodes if node["label"] == "Tag"]
        told = re.match(r"tagged (.+), near (.+) \(", self.reason["text"])
        return [*named, *(told.groups() if told and len(self.nodes) == 1 else ())]


def false_claims(facts: Facts, claim: Claim) -> list[str]:
    """What of a reason is not true; nothing if all of it is."""
    if found := [*_path(facts, claim), *_ends(facts, claim)]:
        return found
    text = claim.reason["text"]
    if len(claim.nodes) == 1:
        said = is_told(facts, text, claim.song, claim.user, claim.session, claim.place)
    else:
        said = text in set(_sentences(facts, claim))
    return [] if said else [f"not true: {text}"]


def forbidden(claim: Claim, words: Iterable[str]) -> list[str]:
    """The tags it cites that hold one of the words, whole and in any case."""
    patterns = [re.compile(rf"(?<!\w){re.escape(word.casefold())}(?!\w)") for word in words]
    return [tag for tag in claim.tags if any(pattern.search(tag.casefold()) for pattern in patterns)]


def _path(facts: Facts, claim: Claim) -> Iterator[str]:
    """Edges that do not exist, names that are others', people whom the listener does not follow."""
    for before, hop, after in zip(claim.nodes, claim.hops, claim.nodes[1:], strict=False):
        source, target = (before, after) if hop["direction"] == "out" else (after, before)
        if not facts.holds(hop["relationship"], source["id"], target["id"], hop["properties"]):
            yield f"no such edge: {source['id']} {hop['relationship']} {target['id']} {hop['properties']}"
    for node in claim.nodes:
        if node["name"] != facts.name(node["label"], node["id"]):
            yield f"another name: {node}"
        if node["label"] == "User" and node["id"] not in {claim.user, *facts.followed(claim.user)}:
            yield f"names somebody who is not followed: {node['id']}"
        if node["label"] == "Tag" and facts.tagged[node["id"]] < _ENOUGH:
            yield f"a tag of fewer than {_ENOUGH} songs: {node['name']}"


def _ends(facts: Facts, claim: Claim) -> Iterator[str]:
    first, last = claim.nodes[0], claim.nodes[-1]
    if (last["label"], last["id"]) != ("Song", claim.song):
        yield f"leads to another song: {last}"
    if len(claim.nodes) > 1 and first["label"] == "User" and first["id"] != claim.user:
        yield f"begins with another listener: {first}"
    if len(claim.nodes) > 1 and first["label"] == "Song":
        own = claim.session if claim.user is None else facts.known_by(claim.user)
        if first["id"] not in own:
            yield f"begins with a song that the asker does not know: {first}"
    if len(claim.nodes) == 1 and claim.reason["kind"] == "path":
        yield "a path of one node"


def _sentences(facts: Facts, claim: Claim) -> Iterator[str]:
    """Every true sentence about the path."""
    kinds = tuple(hop["relationship"] for hop in claim.hops)
    names = [facts.name(node["label"], node["id"]) for node in claim.nodes]
    if kinds[0] == "FOLLOWS":
        yield from _of_followee(facts, claim, kinds[1], names[1])
    elif kinds[0] == "FOLLOWS_ARTIST":
        yield f"by {names[1]}, whom you follow"
    else:
        start = 1 if claim.nodes[0]["label"] == "User" else 0
        yield from _of_seed(facts, claim, kinds[start:], names[start:], claim.nodes[start]["id"])


def _of_followee(facts: Facts, claim: Claim, kind: str, name: str) -> Iterator[str]:
    if kind == "UPLOADED":
        yield f"a work of {name}, whom you follow"
    elif kind != "LISTENED":
        yield f"you follow {name}, who {_DONE[kind]} it"
    else:
        plays = facts.edges["LISTENED"][claim.nodes[1]["id"], claim.song]["plays"]
        yield (
            f"you follow {name}, who played it once"
            if plays == 1
            else f"you follow {name}, who played it ({plays} times)"
        )
        if plays > 1:
            yield f"you follow {name}, who loops it ({plays} times)"


def _of_seed(facts: Facts, claim: Claim, kinds: Sequence[str], names: Sequence[str], seed: str) -> Iterator[str]:
    """Sentences that name the song of the listener or the session that the path leads from."""
    verbs = [verb for verb in VERBS if claim.user is not None and facts.did(claim.user, seed, verb)]
    session = [f"{names[0]} from this session"] if seed in claim.session else []
    apart = [*session, *(f"{names[0]}, which you {verb}" for verb in verbs)]
    if kinds == ("COVER_OF",):
        yield from (f"another version of {said}" for said in apart)
    elif kinds == ("SIMILAR_TO",):
        both = len(facts.likers[seed] & facts.likers[claim.song])
        yield from (f"similar to {said}" for said in apart)
        if both >= _ENOUGH:
            yield f"heard beside {names[0]} by {both} listeners"
    elif kinds == ("SIMILAR_TO", "SIMILAR_TO"):
        for said in [*session, *(f"{names[0]} which you {verb}" for verb in verbs)]:
            yield f"similar to {names[1]}, like {said}"
    elif len(kinds) == 2 and kinds[0] == kinds[1] and kinds[0] in LEADS:
        for said in [*session, *(f"{names[0]} which you {verb}" for verb in verbs)]:
            yield f"{LEADS[kinds[0]]}{names[1]}, like {said}"
