"""Words and phrases of tags, and those that no reason cites."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

NEVER_CITED: Final = (
    "albums i own",
    "awesome",
    "bad",
    "beautiful",
    "best",
    "crap",
    "favorite",
    "favorites",
    "favourite",
    "favourites",
    "fucking",
    "gay",
    "good",
    "great",
    "i like",
    "i love",
    "last fm",
    "lastfm",
    "love",
    "loved",
    "my",
    "overrated",
    "sex",
    "sexy",
    "shit",
    "songs",
    "spotify",
    "seen live",
    "repellent",
    "want to see live",
)
"""Words and phrases that say something of listeners or of a service, not of the music."""
_WORD: Final = re.compile(r"\w+")


@lru_cache(maxsize=100_000)
def words(text: str) -> tuple[str, ...]:
    """The words of a text, letters and digits alone, without regard to case."""
    return tuple(_WORD.findall(text.casefold()))


def mentions(name: str, phrases: Iterable[str]) -> bool:
    """Whether a name holds one of the phrases, word by word: "love" is in "Love songs", not in "lovely"."""
    spaced = f" {' '.join(words(name))} "
    return any(f" {' '.join(words(phrase))} " in spaced for phrase in phrases if words(phrase))
