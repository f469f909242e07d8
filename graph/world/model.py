r"""The synthetic music world: its specification, with the formula of every probability.

Everything is deterministic for `WorldConfig` (which holds the seed). Time is epoch milliseconds; the world's last
day ends at `END`, so its data look the same whenever they are made. Names in `code` are fields of `Behaviour`.

**Latent space.** All tastes and songs are unit vectors of `DIMENSION` numbers; n is a random unit vector, N(.) scales
to length 1. A genre, a mood and a style (three a genre) are n each.

    artist = N(genre + 0.7 style + 0.6 n)         song = N(artist + 0.6 mood + 0.4 n)
    cover  = N(0.5 its original + 0.5 the song it would have been)
    interest = N(0.9 artist + 0.3 genre + 0.6 mood + 0.2 n)

**Songs.** An artist lives in a place, sings one language and has a fame drawn from a lognormal; a song has a true
quality in (0, 1) (logistic of a normal; listeners' uploads have a lower mean and a wider spread). Part of the songs
appear while the world runs (`uploaded_at`). Audio attributes (14, one value in (0, 1) for each 4-second segment) are
logistic in the song's vector, with noise over segments; `clarity` also rises with quality.

**Listeners** have 1 to 5 interests with weights, a home place, a language, a curiosity, a chronotype and an activity
(lognormal). Every day an interest drifts, interest <- N(interest + `drift` n), and with probability `renewal` one
interest of a listener is replaced: by a copy of a followee's (probability `contagion`) or by a fresh one. Part of the
listeners join while the world runs. A listener follows d others (d lognormal, some 0), chosen without replacement with

    P(u follows v) ~ exp(`homophily` cos(U_u, U_v) + `neighbourhood` [same place]) * popularity(v),
    U = the weighted sum of a listener's interests

and each follow is returned with probability `reciprocity`.

**Fit.** fit(u, s, t) = max_k cos(interest_k(t), s) + `local` [the artist lives in u's place]
                        + `tongue` [same language or instrumental]
In a session on interest c: fit_c = (1 - `coherence`) fit + `coherence` (fit with cos(interest_c, s) as the maximum).
social(u, s, t) = 1 - (1 - `persuasion`)^m, m the followees of u who loved s (collected, liked or shared it) during
the last `memory_days` days.

**Sessions.** Per day and listener Poisson many, at hours from three peaks shifted by the chronotype. The interest c is
drawn with P ~ weight_c exp(`mood_hours` cos(2 pi (hour - peak of its mood) / 24)). A session has 1 + Geometric
playbacks (mean `session_mean`, at most `session_cap`). Each next song comes from (probability `from_*`, what is
impossible falls to search):

* *library*: one of 6 songs of the own library (3 of the latest 30 kept, 3 of all),
  P ~ exp(`library_focus` fit_c): re-listening is normal;
* *friends*: a recent love of a followee, the better of 3 by fit_c;
* *search*: of `proposals` candidates (0.28: by the artist of the interest, or three times in ten one that is followed,
  newer songs first; 0.28: of its genre, 0.2: from the listener's place, 0.17: overall, all three in proportion to the
  attraction w; 0.07: fresh ones) one with P ~ exp(`search_focus` fit_c + quality - [heard before]), never one of
  this session;
* *recommendation*: a slate of `slots` songs of the logged policy (scene `home` or `radio`).

**Logged policy** `popularity-explore`: attraction w = prior + heat (heat: plays, halved every `half_life_days`);
pi(s|u) = `show_popular` w_s / W + `show_genre` mean over u's declared genres of [s in g] w_s / W_g
          + `show_fresh` [fresh] / fresh songs + `show_explore` / available songs
Slots are filled from the top without replacement, blocked songs left out: the logged propensity of a slot is its exact
probability given the slots above, pi(s) / (1 - sum of pi over the songs above and the blocked ones).

**Behaviour.** With sigma the logistic function, p the position from 0, q the quality, x = 1 if heard before:

    examine(p) = (1 + p)^-`position_bias`         (in `radio` the exponent is halved)
    wish  = sigma(`click_bias` + `click_fit` fit_c + `click_quality` q + `click_social` social + `click_heard` x)
    click = examine(p) (curiosity_u + (1 - curiosity_u) wish)         curiosity: clicks that fit does not explain
    full  = sigma(`full_bias` + `full_fit` fit_c + `full_quality` q + `full_social` social + `full_heard` x)
    skip  = (1 - full) `skip_share`              play (in part) = (1 - full)(1 - `skip_share`)
    love  = sigma(`love_bias` + `love_fit` fit + `love_quality` q + `love_social` social)
    after full, once a song each: collect = love, like = 0.6 love, share = 0.15 love, playlist_add = 0.3 love,
      download = 0.2 love, follow of the artist = 0.15 love
    after skip: block = sigma(`block_bias` - `block_fit` fit)

**Bursts** (`bursts` of them, none by default). A song of middling heat is suddenly sought: from a random moment in the
middle of the world's days on its rate is m(t) times what it was, m = 1 + (f - 1) 2^(-age / half-life), f from 4 to 16,
the half-life from 2 to 8 days, even on a logarithmic scale. A session seeks it first with the chance

    usual (m(t) - 1) keen / mean keen          keen = min(1, exp(`search_focus` (fit_c - fit_0)))

with usual the playbacks of the song in a session before (by its share of all heat), fit_0 the upper quartile of fit_c
over the day's sessions, whose mean is taken too. As many other songs are merely shown more: the logged policy explores
them so often that they are shown m(t) times as often, m as of the morning; nobody likes them more for it.

**Satisfaction** of a slate (truth) = mean of fit(u, s, t) over its slots, weighted by examine(p).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from graph.compiled import compiled
from graph.durations import DAY_MS

DIMENSION: Final = 24
END: Final = 1_751_241_600_000  # 2025-06-30T00:00Z
MAX_INTERESTS: Final = 5
FORMAT: Final = 1  # of a written world; raise it when the same config gives other data

AUDIO_ATTRIBUTES: Final = (
    "pure_vocal",
    "pure_instrument",
    "vocal_accompaniment",
    "genre_pop",
    "genre_rock",
    "genre_electronic",
    "genre_folk",
    "energy",
    "valence",
    "tempo",
    "danceability",
    "brightness",
    "loudness",
    "clarity",
)


class Behaviour(NamedTuple):
    """The parameters of the model; the module's docstring gives each its formula."""

    local: float = 0.25
    tongue: float = 0.08
    coherence: float = 0.8
    persuasion: float = 0.5
    memory_days: float = 10.0
    drift: float = 0.02
    renewal: float = 0.006
    contagion: float = 0.5
    homophily: float = 6.0
    neighbourhood: float = 1.2
    reciprocity: float = 0.4
    mood_hours: float = 0.6
    session_mean: float = 8.0
    session_cap: int = 40
    from_library: float = 0.34
    from_friends: float = 0.18
    from_search: float = 0.2
    library_focus: float = 6.0
    search_focus: float = 6.0
    proposals: int = 12
    slots: int = 10
    pages: int = 4
    radio_share: float = 0.3
    half_life_days: float = 10.0
    show_popular: float = 0.5
    show_genre: float = 0.25
    show_fresh: float = 0.1
    show_explore: float = 0.15
    fresh_days: float = 14.0
    position_bias: float = 0.6
    click_bias: float = -4.2
    click_fit: float = 8.0
    click_quality: float = 1.0
    click_social: float = 2.0
    click_heard: float = 0.3
    full_bias: float = -3.0
    full_fit: float = 4.5
    full_quality: float = 1.5
    full_social: float = 0.6
    full_heard: float = 0.5
    skip_share: float = 0.6
    love_bias: float = -5.2
    love_fit: float = 4.0
    love_quality: float = 1.5
    love_social: float = 0.8
    block_bias: float = -2.8
    block_fit: float = 3.0


@dataclass(frozen=True)
class WorldConfig:
    """What a world is made from.

    Raises: ValueError for a number out of range.
    """

    users: int = 500
    """Listeners at the end, 2 or more."""
    songs: int = 2000
    """Songs at the end, 40 or more."""
    days: int = 60
    """Days of listening, 1 or more."""
    seed: int = 0
    """Seed of all that is drawn, 0 or more; the same seed makes the same world."""
    events: int | None = None
    """Events aimed at; None leaves it to `sessions_per_day`."""
    sessions_per_day: float = 0.25
    """A listener's mean number of sessions a day where `events` is None."""
    genres: int = 18
    """Genres, 2 to 18."""
    songs_per_artist: float = 12.0
    """Mean number of songs of an artist."""
    places: int = 8
    """Places where people live, 1 or more."""
    new_songs: float = 0.3
    """Share of the songs that comes out while the world runs, 0 to below 1."""
    new_users: float = 0.25
    """Share of the listeners who join while the world runs, 0 to below 1."""
    segments: int = 12
    """Audio segments of a song at most, 1 or more."""
    bursts: int = 0
    """Songs that are suddenly sought, 0 to songs / 20; as many others are merely shown more. Needs 6 days or more."""
    behaviour: Behaviour = field(default_factory=Behaviour)
    """What listeners do, and how strongly each reason moves them."""

    def __post_init__(self) -> None:
        for name, least in (("users", 2), ("songs", 40), ("days", 1), ("seed", 0), ("places", 1), ("segments", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least} (got {getattr(self, name)})")
        if not 2 <= self.genres <= 18:
            raise ValueError(f"genres must be from 2 to 18 (got {self.genres})")
        if self.events is not None and self.events < 1:
            raise ValueError(f"events must be at least 1 (got {self.events})")
        if not 0 <= self.bursts <= self.songs // 20:
            raise ValueError(f"bursts must be from 0 to songs / 20 = {self.songs // 20} (got {self.bursts})")
        if self.bursts and self.days < 6:
            raise ValueError(f"bursts need at least 6 days (got {self.days})")
        for name in ("new_songs", "new_users"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1 (got {getattr(self, name)})")

    @property
    def start(self) -> int:
        """When the first day begins (epoch milliseconds)."""
        return END - self.days * DAY_MS

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `behaviour` is an object of its own."""
        values = {**asdict(self), "behaviour": self.behaviour._asdict()}
        if not self.bursts:  # such a world is what it was before there were any
            del values["bursts"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WorldConfig:
        """The inverse of `as_dict`."""
        return cls(**{**values, "behaviour": Behaviour(**values["behaviour"])})


@compiled
def sigma(x: float) -> float:
    """The logistic function."""
    return float(1.0 / (1.0 + np.exp(-x)))


@compiled
def examine(b: Behaviour, position: int, radio: bool) -> float:
    """Probability that the slot at `position` (from 0) is looked at."""
    return float((1.0 + position) ** (-b.position_bias * (0.5 if radio else 1.0)))


@compiled
def fit_of(b: Behaviour, cosine: float, same_place: bool, understood: bool) -> float:
    """True fit of a song whose best cosine with an interest is `cosine`."""
    return cosine + (b.local if same_place else 0.0) + (b.tongue if understood else 0.0)


@compiled
def social_of(b: Behaviour, lovers: int) -> float:
    """Social influence of `lovers` followees who loved a song lately."""
    return float(1.0 - (1.0 - b.persuasion) ** lovers)


@compiled
def click(b: Behaviour, curiosity: float, fit: float, quality: float, social: float, heard: bool) -> float:
    """Probability that an examined song is played."""
    x = b.click_bias + b.click_fit * fit + b.click_quality * quality + b.click_social * social
    return float(curiosity + (1.0 - curiosity) * sigma(x + (b.click_heard if heard else 0.0)))


@compiled
def full_play(b: Behaviour, fit: float, quality: float, social: float, heard: bool) -> float:
    """Probability that a song that began is heard to its end."""
    x = b.full_bias + b.full_fit * fit + b.full_quality * quality + b.full_social * social
    return float(sigma(x + (b.full_heard if heard else 0.0)))


@compiled
def love(b: Behaviour, fit: float, quality: float, social: float) -> float:
    """Probability that a song heard to its end is collected; like, share and the others are parts of it."""
    return float(sigma(b.love_bias + b.love_fit * fit + b.love_quality * quality + b.love_social * social))


@compiled
def block(b: Behaviour, fit: float) -> float:
    """Probability that a skipped song is blocked."""
    return float(sigma(b.block_bias - b.block_fit * fit))
