"""A scene: one place in a product where songs are recommended, with its own channels, policy and order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graph.errors import SettingsError

QUOTAS: Final = ("fixed", "importance", "learned")
FUSED: Final = "fused"
LATEST: Final = "latest"
"""The channel that answers to what was done a moment ago: `SceneConfig.reserve` keeps places for it."""
_UNITS_MS: Final = {"h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True)
class ChannelUse:
    """How a scene uses one channel."""

    quota: int = 100
    """Songs of the pool that the channel has, where quotas are fixed or not learned yet, 1 or more."""
    weight: float = 1.0
    """Weight in the fusion until the refresh has learned one, 0 or more; 0 stays 0."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The channel's own options, by their names."""
    use: str | None = None
    """Class "package.module:Class" of a channel from outside; None for the file of the channel's name."""


def default_channels() -> dict[str, ChannelUse]:
    """The channels of a scene that names none."""
    return {
        "song2vec": ChannelUse(),
        "relation_gamma_gcn": ChannelUse(),
        "listener_kernel": ChannelUse(),
        "song_to_song": ChannelUse(),
        "recent": ChannelUse(),
        LATEST: ChannelUse(),
        "item_knn": ChannelUse(),
        "attributes": ChannelUse(),
        "social": ChannelUse(),
        "trending": ChannelUse(quota=50),
        "fresh": ChannelUse(quota=50, weight=0.5),
        "popularity": ChannelUse(quota=50, weight=0.5),
        "fallback": ChannelUse(quota=100, weight=0.1),
    }


@dataclass(frozen=True)
class SceneConfig:
    """What a scene shows."""

    n: int = 10
    """Songs of a slate, unless the request says otherwise."""
    heard: str = "never"
    """What happens to known songs: "never" keeps them out, "always" lets them in, "after 14d" or "after 12h" once so
    long has passed."""
    ranker: str = "linear"
    """File of a learned ranker, or "fused" for the order of the merged pool."""
    reranker: str = "mmr"
    """File of the re-ranker."""
    pool: int = 400
    """Songs that the ranker sees at most."""
    budget_ms: float = 200.0
    """Milliseconds that all channels have together."""
    quotas: str = "learned"
    """How quotas are set. "fixed": as each `ChannelUse` says. "importance": the pool shared out by the channels'
    weights. "learned": fitted by the refresh, as set until then."""
    per_artist: int = 0
    """Songs of one artist in the pool at most, 0 for all; what channels found beyond the pool takes the free places."""
    reserve: float = 0.1
    """Share of a slate that answers to what the listener liked or followed a moment ago (the channel `latest`), 0 to
    below 1. Above 0 it is one song at least."""
    interests: bool = True
    """Whether a slate keeps a song for each of the listener's interests (`recall.listeners.interests`), behind its
    first ten."""
    otherwise: tuple[str, ...] = ()
    """Channels that fill the slate where the others find too few songs."""
    note: str = ""
    """What the answer says where they do."""
    channels: Mapping[str, ChannelUse] = field(default_factory=default_channels)
    """Channels of the scene, by their names."""

    def __post_init__(self) -> None:
        self.heard_after_ms()
        for name, value in (("n", self.n), ("pool", self.pool), ("budget_ms", self.budget_ms)):
            if value <= 0:
                raise SettingsError(f"scene: {name} must be more than 0 (got {value})")
        if self.quotas not in QUOTAS:
            raise SettingsError(f"scene: quotas must be one of {', '.join(QUOTAS)} (got {self.quotas!r})")
        if not 0 <= self.reserve < 1:
            raise SettingsError(f"scene: reserve must be from 0 to below 1 (got {self.reserve})")
        if self.per_artist < 0:
            raise SettingsError(f"scene: per_artist must be at least 0 (got {self.per_artist})")
        if unknown := sorted(set(self.otherwise) - self.channels.keys()):
            raise SettingsError(f"scene: otherwise names {unknown[0]}, which is no channel of the scene")
        if not self.channels:
            raise SettingsError("scene: at least one channel is needed")
        for name, use in self.channels.items():
            if use.quota < 1 or not 0 <= use.weight < float("inf"):
                raise SettingsError(f"scene: channel {name} needs a quota of at least 1 and a weight of at least 0")

    def heard_after_ms(self) -> float:
        """Milliseconds after which a heard song may come back: 0 for always, infinity for never.

        Raises: SettingsError if `heard` is none of the three forms.
        """
        if self.heard == "never":
            return float("inf")
        if self.heard == "always":
            return 0.0
        match = re.fullmatch(r"after (\d+(?:\.\d+)?)([hd])", self.heard)
        if match is None:
            raise SettingsError(f'scene: heard must be "never", "always" or like "after 14d" (got {self.heard!r})')
        return float(match[1]) * _UNITS_MS[match[2]]
