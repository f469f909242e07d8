"""API keys: each has a name, the hash that it is known by, and the roles that say what it may do.

Keys are random and long, so a plain SHA-256 of one cannot be searched for: no salt and no slow hash is needed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Role = Literal["read", "events", "catalogue", "operate"]
"""`read`: recommendations, similar, reasons and what the graph holds. `events`: post events. `catalogue`: write the
catalogue and follows. `operate`: jobs, releases and Cypher. No role includes another."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)
PREFIX: Final = "segue_"
"""What new keys begin with, so that a search for leaked secrets finds them."""


@dataclass(frozen=True)
class Key:
    """Who asks: the name that the log shows, and what the key may do."""

    name: str | None
    """None where no keys are set and everybody on this machine may do everything."""
    roles: frozenset[Role]
    digest: bytes = field(default=b"", repr=False)
    """SHA-256 of the key."""


ANYBODY: Final = Key(None, frozenset(ROLES))


def digest(key: bytes) -> bytes:
    """SHA-256 of a key."""
    return hashlib.sha256(key).digest()


def new_key() -> str:
    """A key of 256 random bits."""
    return f"{PREFIX}{secrets.token_urlsafe(32)}"


def entry(name: str, roles: Iterable[Role], key: str) -> dict[str, object]:
    """What the list `keys` of `[api]` holds of a key."""
    return {"name": name, "roles": list(roles), "sha256": digest(key.encode()).hex()}
