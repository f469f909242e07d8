"""A scene: one place in a product where songs are recommended, with its own channels, policy and order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from graph.durations import DAY_MS, HOUR_MS
from graph.errors import SettingsError
from graph.units import Family, UnitUse, unknown
from ranking.base import RANKERS, RERANKERS, Ranker, Reranker

LEARNED: Final = "learned"
QUOTAS: Final = ("fixed", "importance", LEARNED)
MOST: Final = 500
"""Songs of a slate."""
FUSED: Final = "fused"
LATEST: Final = "latest"
"""The channel that answers to what was done a moment ago: `SceneConfig.reserve` keeps places for it."""
NEARBY: Final = "lbs"
"""The channel of what is loved near a place: `SceneConfig.here` keeps places for it."""
ALWAYS, PLACE = "always", "place"
WITH_RANKER: Final = "with ranker"
ASKED: Final = (ALWAYS, PLACE)
"""When a channel is asked: for every request, or for those that name where the listener is."""
ORDER: Final = ("ranker", "rankers", "reranker", "rerankers")
"""What a scene says of its order."""
_TAKEN: Final = (FUSED, "fusion", "cold_start", "breadth", "reserve")
"""Names that no ranker may have: all but the first are what a release keeps beside the ranker of a scene."""
_UNITS_MS: Final = {"h": HOUR_MS, "d": DAY_MS}


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
    asked: str = ALWAYS
    """When the channel is asked: "always", or "place" for requests that name where the listener is. Training has no
    such requests, so a channel of the second kind keeps its quota, and neither fusion nor ranker learns of it."""


def default_channels() -> dict[str, ChannelUse]:
    """The channels of a scene that names none."""
    return {
        "song2vec": ChannelUse(),
        "relation_gamma_gcn": ChannelUse(),
        "als": ChannelUse(),
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
        NEARBY: ChannelUse(quota=50, asked=PLACE),
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
    rankers: Mapping[str, UnitUse] = field(default_factory=dict)
    """Options of each ranker, by its name."""
    rerankers: Mapping[str, UnitUse] = field(default_factory=dict)
    """Options of each re-ranker, by its name."""
    pool: int = 400
    """Songs that the ranker sees at most."""
    budget_ms: float = 200.0
    """Milliseconds that all channels have together."""
    quotas: str = "learned"
    """How quotas are set. "fixed": as each `ChannelUse` says. "importance": the pool shared out by the channels'
    weights. "learned": fitted by the refresh, as set until then."""
    fusion: str = WITH_RANKER
    """Whether the refresh learns what channels weigh. "with ranker": where it learns a ranker; "learned": although
    `ranker` is "fused"."""
    per_artist: int = 0
    """Songs of one artist in the pool at most, 0 for all; what channels found beyond the pool takes the free places."""
    reserve: float | str = LEARNED
    """Share of a slate that answers to what the listener did a moment ago (the channel `latest`): liked, searched,
    followed, unblocked, skipped or moved. "learned": fitted by the refresh on what followed within sessions, 0.1 until
    then; each kind of thing done has a song, and all together at most 3 in ten (`ranking.reserve` says why). A number
    from 0 to below 1 is taken as it is; above 0 it is one song at least, but never the whole slate."""
    here: float = 0.2
    """Share of a slate that is loved near the listener (the channel `lbs`), 0 to below 1; where that channel is asked
    for places, near the one that the request names."""
    breadth: float = 0.3
    """How strongly the last places of a slate prefer songs that fewer listeners are shown (`ranking.breadth`), 0 to
    below 1; less where that would cost too much, 0 for not at all."""
    interests: bool = True
    """Whether channels recall for each of the listener's interests (`recall.listeners.interests`), and a slate keeps a
    song for each behind its first ten."""
    otherwise: tuple[str, ...] = ()
    """Channels that fill the slate where the others find too few songs."""
    note: str = ""
    """What the answer says where they do."""
    channels: Mapping[str, ChannelUse] = field(default_factory=default_channels)
    """Channels of the scene, by their names."""

    def __post_init__(self) -> None:
        self.heard_after_ms()
        self._check_numbers()
        self._check_channels()
        if taken := sorted({*self.rankers} & {*_TAKEN}):
            raise SettingsError(f"scene.rankers.{taken[0]}: no ranker may be called {taken[0]}")
        _check_units(RANKERS, "scene.ranker", self.ranker, self.rankers, FUSED)
        _check_units(RERANKERS, "scene.reranker", self.reranker, self.rerankers)

    def _check_numbers(self) -> None:
        for name, value in (("n", self.n), ("pool", self.pool), ("budget_ms", self.budget_ms)):
            if not value > 0:
                raise SettingsError(f"scene: {name} must be more than 0 (got {value})")
        if self.n > MOST:
            raise SettingsError(f"scene: n must be at most {MOST} (got {self.n})")
        number = isinstance(self.reserve, int | float) and not isinstance(self.reserve, bool)
        if self.reserve != LEARNED and not (number and 0 <= float(self.reserve) < 1):
            raise SettingsError(f'scene: reserve must be "{LEARNED}" or from 0 to below 1 (got {self.reserve!r})')
        for name, share in (("here", self.here), ("breadth", self.breadth)):
            if not 0 <= share < 1:
                raise SettingsError(f"scene: {name} must be from 0 to below 1 (got {share})")
        if self.per_artist < 0:
            raise SettingsError(f"scene: per_artist must be at least 0 (got {self.per_artist})")

    def _check_channels(self) -> None:
        if self.quotas not in QUOTAS:
            raise SettingsError(f"scene: quotas must be one of {', '.join(QUOTAS)} (got {self.quotas!r})")
        if self.fusion not in {WITH_RANKER, LEARNED}:
            raise SettingsError(f"scene: fusion must be one of {WITH_RANKER}, {LEARNED} (got {self.fusion!r})")
        if missing := sorted(set(self.otherwise) - self.channels.keys()):
            raise SettingsError(f"scene: otherwise names {missing[0]}, which is no channel of the scene")
        if not self.channels:
            raise SettingsError("scene: at least one channel is needed")
        for name, use in self.channels.items():
            if use.quota < 1 or not 0 <= use.weight < float("inf"):
                raise SettingsError(f"scene: channel {name} needs a quota of at least 1 and a weight of at least 0")
            if use.asked not in ASKED:
                raise SettingsError(
                    f"scene: channel {name}: asked must be one of {', '.join(ASKED)} (got {use.asked!r})"
                )
        if all(use.asked == PLACE for use in self.channels.values()):
            raise SettingsError("scene: at least one channel must be asked always")

    @property
    def learns(self) -> bool:
        """Whether the refresh learns anything for it."""
        return self.ranker != FUSED or self.fusion == LEARNED

    def ranker_of(self) -> tuple[type[Ranker], Any] | None:
        """The class of the scene's ranker and its config; None where the merged pool's order holds."""
        return None if self.ranker == FUSED else RANKERS.configured(self.ranker, self.rankers, "scene.rankers")

    def reranker_of(self) -> tuple[type[Reranker], Any]:
        """The class of the scene's re-ranker and its config."""
        return RERANKERS.configured(self.reranker, self.rerankers, "scene.rerankers")

    def training_settings(self) -> dict[str, Any]:
        """Everything of the scene that its fusion and ranker are learned with, as JSON: re-rankers, and rankers that it
        does not use, teach nothing."""
        others = {key: value for key, value in asdict(self).items() if key not in ORDER}
        ranker = self.ranker_of()
        return {**others, "ranker": None if ranker is None else _as_json(self.ranker, self.rankers, ranker[1])}

    def reranking_settings(self) -> dict[str, Any]:
        """The scene's re-ranker and its whole config, as JSON."""
        return _as_json(self.reranker, self.rerankers, self.reranker_of()[1])

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


def unhurried(scene: SceneConfig) -> SceneConfig:
    """The scene without its time budget, where what comes out must not depend on how busy the machine is."""
    return replace(scene, budget_ms=float("inf"))


def _as_json(name: str, uses: Mapping[str, UnitUse], config: Any) -> dict[str, Any]:
    return {"name": name, "use": uses.get(name, UnitUse()).use, "config": asdict(config)}


def _check_units(family: Family, where: str, chosen: str, uses: Mapping[str, UnitUse], *besides: str) -> None:
    """Raises: SettingsError if a scene's ranker or re-ranker, or one that it sets, is unknown or cannot be set so.

    `where` is the key of the `chosen` one, which may be one of `besides`; `where`s that of the others.
    """
    known = {*besides, *uses, *family.names()}
    if chosen not in known:
        raise SettingsError(f"{where}: {unknown(family.kind, chosen, sorted(known))}")
    for name in sorted({*uses, chosen} - {*besides}):
        family.configured(name, uses, f"{where}s")
