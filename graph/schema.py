"""The graph's schema, declared once: labels, relationship types, typed properties, tables and actions.

Everything that knows a label's name or a property's type reads it here: the constraints of both engines, the
validation of imports, the snapshot, the REST bodies. `derived` marks what a refresh writes back from the event log
or from vectors; derived data can be rebuilt and never counts in the graph's fingerprint.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

from graph.errors import InvalidInput

Kind = Literal["string", "integer", "float"]
Unit = Literal["time", "duration"]

MARK: Final = "segue"
"""Property, true on every node and relationship that Segue made: nothing else is ever changed or deleted."""
MAX_ID_BYTES: Final = 256
MAX_TEXT_BYTES: Final = 2_000
_HASH_CHARACTERS: Final = 16


@dataclass(frozen=True)
class Property:
    """One typed property; `low` and `high` bound numbers (inclusive), `unit` says which ones are milliseconds."""

    name: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    derived: bool = False
    unit: Unit | None = None


@dataclass(frozen=True)
class Label:
    """One node label; `table` is the import table that holds its nodes (None: none does)."""

    name: str
    table: str | None
    properties: tuple[Property, ...]

    def property(self, name: str) -> Property:
        return next(p for p in self.properties if p.name == name)


@dataclass(frozen=True)
class Relationship:
    """One relationship type between two labels; `source_column` and `target_column` name the ids in `table`.

    There is at most one relationship of a type between two nodes, except that those which differ in an `identity`
    property stand side by side (two triples of a knowledge graph between the same entities, say).
    """

    type: str
    source: str
    target: str
    table: str | None = None
    source_column: str = ""
    target_column: str = ""
    properties: tuple[Property, ...] = ()
    derived: bool = False
    identity: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Unique name, such as `HAS_GENRE:Song:Genre`."""
        return f"{self.type}:{self.source}:{self.target}"


def _time(name: str, low: int = 0) -> Property:
    return Property(name, "integer", low=low, high=253_402_300_799_999, unit="time")  # to the end of the year 9999


_YEAR_1000_MS: Final = -30_610_224_000_000  # a release may be a work of long ago


_LATITUDE = Property("latitude", "float", -90, 90)
_LONGITUDE = Property("longitude", "float", -180, 180)
_WEIGHT = Property("weight", "float", low=0)
_NAME = Property("name", "string")
_TITLE = Property("title", "string")
_RELATION = Property("relation", "string")

LABELS: Final[tuple[Label, ...]] = (
    Label(
        "User",
        "users",
        (
            _NAME,
            Property("gender", "string"),
            Property("birth_year", "integer", 1850, 2200),
            Property("language", "string"),
            Property("level", "integer", 0, 1_000_000),
            _time("joined_at"),
            _LATITUDE,
            _LONGITUDE,
        ),
    ),
    Label(
        "Song",
        "songs",
        (
            _TITLE,
            Property("duration_ms", "integer", 0, 10**10, unit="duration"),
            Property("language", "string"),
            _time("released_at", _YEAR_1000_MS),
            _time("uploaded_at"),
            Property("quality", "float", 0, 1),
            Property("tier", "integer", 0, 1000),
            Property("listeners", "integer", 0, derived=True),
            Property("plays", "integer", 0, derived=True),
        ),
    ),
    Label("Artist", "artists", (_NAME,)),
    Label("Album", "albums", (_TITLE,)),
    Label("Genre", "genres", (_NAME,)),
    Label("Tag", "tags", (_NAME,)),
    Label("Playlist", "playlists", (_NAME,)),
    Label("Place", "places", (_NAME, _LATITUDE, _LONGITUDE)),
    # Whatever else a knowledge graph names: kept, typed by `kind`.
    Label("Entity", None, (_NAME, Property("kind", "string"))),
)

RELATIONSHIPS: Final[tuple[Relationship, ...]] = (
    Relationship("PERFORMED_BY", "Song", "Artist", "song_artist", "song_id", "artist_id"),
    Relationship("ON_ALBUM", "Song", "Album", "song_album", "song_id", "album_id"),
    Relationship("HAS_GENRE", "Song", "Genre", "song_genre", "song_id", "genre_id"),
    Relationship("HAS_GENRE", "Artist", "Genre", "artist_genre", "artist_id", "genre_id"),
    Relationship("HAS_TAG", "Song", "Tag", "song_tag", "song_id", "tag_id", (_WEIGHT,)),
    Relationship("HAS_TAG", "Artist", "Tag", "artist_tag", "artist_id", "tag_id", (_WEIGHT,)),
    Relationship("COVER_OF", "Song", "Song", "cover_of", "song_id", "original_id"),
    Relationship("UPLOADED", "User", "Song", "uploads", "user_id", "song_id", (_time("at"),)),
    Relationship(
        "CONTAINS",
        "Playlist",
        "Song",
        "playlist_song",
        "playlist_id",
        "song_id",
        (Property("position", "integer", 0, 10**9), _time("at")),
    ),
    Relationship("OWNS", "User", "Playlist", "user_playlist", "user_id", "playlist_id"),
    Relationship("SIMILAR_TO", "Artist", "Artist", "artist_similar", "artist_id", "similar_id", (_WEIGHT,)),
    Relationship("FOLLOWS", "User", "User", "follows", "user_id", "followed_id", (_time("since"),)),
    Relationship("FOLLOWS_ARTIST", "User", "Artist", "artist_follows", "user_id", "artist_id", (_time("since"),)),
    Relationship("LIVES_IN", "User", "Place", "user_place", "user_id", "place_id"),
    Relationship("RELATED", "Entity", "Entity", properties=(_RELATION,), identity=("relation",)),
    Relationship("RELATED", "Song", "Entity", properties=(_RELATION,), identity=("relation",)),
    Relationship("RELATED", "Entity", "Song", properties=(_RELATION,), identity=("relation",)),
    Relationship("RELATED", "Song", "Song", properties=(_RELATION,), identity=("relation",)),
    Relationship(
        "LISTENED",
        "User",
        "Song",
        properties=(
            Property("plays", "integer", 0),
            Property("full_plays", "integer", 0),
            Property("skips", "integer", 0),
            _time("first_at"),
            _time("last_at"),
        ),
        derived=True,
    ),
    *(
        Relationship(kind, "User", "Song", properties=(_time("at"),), derived=True)
        for kind in ("COLLECTED", "LIKED", "DISLIKED", "SHARED", "BLOCKED")
    ),
    *(
        Relationship("BLOCKED", "User", label, properties=(_time("at"),), derived=True)
        for label in ("Artist", "Tag", "Genre")
    ),
    Relationship(
        "SIMILAR_TO", "Song", "Song", properties=(_WEIGHT, Property("by", "string")), derived=True, identity=("by",)
    ),
)

# One playback is one event, whichever of these three it is.
PLAYBACK_ACTIONS: Final = ("play", "full_play", "skip")
ACTIONS: Final = (
    *PLAYBACK_ACTIONS,
    "collect",
    "like",
    "share",
    "download",
    "block",
    "playlist_add",
    "search",
    "follow",
    "uncollect",
    "unlike",
    "unblock",
    "unfollow",
    # these came later: an action is kept by its place here
    "dislike",
    "undislike",
)
# Actions whose target is a song; `search` has a query, `follow` and `unfollow` name a user or an artist.
SONG_ACTIONS: Final = frozenset(ACTIONS) - {"search", "follow", "unfollow"}
# Of these a listener may block whatever songs have it, as well as a song.
BLOCKED_LABELS: Final = ("Artist", "Tag", "Genre")
BLOCK_ACTIONS: Final = ("block", "unblock")

_BY_LABEL: Final = {label.name: label for label in LABELS}


def label(name: str) -> Label:
    """The label of that name.

    Raises: InvalidInput if the schema has none.
    """
    try:
        return _BY_LABEL[name]
    except KeyError:
        raise InvalidInput(f"unknown label {name!r} (expected one of {', '.join(_BY_LABEL)})") from None


def relationship(type_: str, source: str, target: str) -> Relationship:
    """The relationship of that type between those labels.

    Raises: InvalidInput if the schema has none.
    """
    for found in RELATIONSHIPS:
        if (found.type, found.source, found.target) == (type_, source, target):
            return found
    raise InvalidInput(f"unknown relationship (:{source})-[:{type_}]->(:{target})")


def problem_of_id(value: object) -> str | None:
    """Why `value` is no id, or None if it is one.

    An id is text of 1 to 256 UTF-8 bytes without control characters, `/` or lone surrogates.
    """
    if not isinstance(value, str):
        return f"expected an id (text), got {type(value).__name__}"
    if not value:
        return "expected an id, got an empty text"
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        return "expected an id in UTF-8, got a lone surrogate"
    if size > MAX_ID_BYTES:
        return f"expected an id of at most {MAX_ID_BYTES} bytes, got {size}"
    if "/" in value:
        return "expected an id without '/'"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        return "expected an id without control characters"
    return None


_ESCAPED: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/]|%(?=[0-9A-Fa-f]{2})")


def id_of_name(name: str) -> str:
    """The id that is made from a name: the name itself, but for what no id may have.

    `/` and control characters are percent-encoded (their UTF-8 bytes as %XX), and so is a `%` that two hexadecimal
    digits follow, so that `urllib.parse.unquote` gives the name again: AC/DC is AC%2FDC. Everything else stays as it
    is, byte for byte: blanks, case, emoji, Unicode forms. Of a name that is too long the beginning stays, and a hash of
    the whole is put after a `~`; this alone cannot be turned round.
    Raises: InvalidInput for an empty name, or one with a lone surrogate.
    """
    made = _ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)
    try:
        size = len(made.encode())
    except UnicodeEncodeError:
        raise InvalidInput("expected a name in UTF-8, got a lone surrogate") from None
    if not size:
        raise InvalidInput("expected a name, got an empty text")
    if size > MAX_ID_BYTES:
        digest = hashlib.blake2b(made.encode(), digest_size=_HASH_CHARACTERS // 2).hexdigest()
        kept = made.encode()[: MAX_ID_BYTES - _HASH_CHARACTERS - 1].decode("utf-8", "ignore")
        made = f"{kept}~{digest}"
    return made


def id_of(text: str) -> str:
    """An id as it is; of any other text the id that `id_of_name` makes.

    Raises: InvalidInput as there.
    """
    return text if problem_of_id(text) is None else id_of_name(text)


def statements() -> list[str]:
    """Cypher that makes the constraints and indexes, the same for both engines, each of it idempotent."""
    return [
        f"CREATE CONSTRAINT {entry.name.lower()}_id IF NOT EXISTS FOR (n:{entry.name}) REQUIRE n.id IS UNIQUE"
        for entry in LABELS
    ]


def index_statement(name: str) -> str:
    """Cypher that makes a plain index of the label's ids, for where the constraint cannot be made."""
    return f"CREATE INDEX {name.lower()}_id IF NOT EXISTS FOR (n:{label(name).name}) ON (n.id)"
