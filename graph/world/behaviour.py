"""What a listener does in a session: where the next song comes from, whether it is played, and what follows."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from graph.compiled import compiled
from graph.durations import DAY_MS
from graph.world.memory import (
    BLOCKED,
    COLLECTED,
    COUNT_MASK,
    DOWNLOADED,
    FOLLOWED,
    KEPT,
    LIBRARY,
    LIKED,
    LISTED,
    LOVES,
    SHARED,
    Log,
    Memory,
    Minds,
    Songs,
    Today,
    best_cosine,
    cosine_with,
    pair_slot,
    understood,
)
from graph.world.model import Behaviour, block, click, examine, fit_of, full_play, love, social_of
from graph.world.policy import pick, slate

ACTIONS: Final = (
    *("play", "full_play", "skip", "collect", "like", "share", "playlist_add", "download", "block", "follow", "search"),
)
PLAY, FULL, SKIP, COLLECT, LIKE, SHARE, ADD, DOWNLOAD, BLOCK, FOLLOW, SEARCH = range(11)


class Codes(NamedTuple):
    """Numbers for arguments of compiled functions: a literal would make numba compile the called one once more."""

    none: int = -1
    zero: int = 0
    block: int = 8
    follow: int = 9
    search: int = 10
    searched: int = 2


CODE: Final = Codes()
SCENES: Final = ("home", "radio", "search", "library", "friends")
HOME, RADIO, SEARCHED, FROM_LIBRARY, FROM_FRIENDS = range(5)


@compiled
def fits(b: Behaviour, p: Minds, s: Songs, u: int, k: int, song: int) -> tuple[float, float]:
    """(fit, fit_c): the true fit, and the one in a session on interest k."""
    place, tongue = s.place[song] == p.place[u], understood(p.language[u], s.language[song])
    fit = fit_of(b, best_cosine(p, s, u, song), place, tongue)
    now = fit_of(b, cosine_with(p, s, u, k, song), place, tongue)
    return fit, (1.0 - b.coherence) * fit + b.coherence * now


@compiled
def fits_in(b: Behaviour, p: Minds, s: Songs, users: Any, interests: Any, song: int) -> Any:
    """(sessions,) fit_c of a song in each session."""
    found = np.empty(len(users))
    for i in range(len(users)):
        found[i] = fits(b, p, s, users[i], interests[i], song)[1]
    return found


@compiled
def lovers(b: Behaviour, p: Minds, m: Memory, u: int, song: int, at: int) -> int:
    """How many followees loved the song during the last `memory_days`."""
    n, oldest = 0, at - b.memory_days * DAY_MS
    for i in range(p.follow_ptr[u], p.follow_ptr[u + 1]):
        if p.follow_since[i] > at:
            continue
        v = p.follow_idx[i]
        for j in range(min(m.love_n[v], LOVES)):
            if m.love_song[v, j] == song and oldest <= m.love_at[v, j] <= at:
                n += 1
                break
    return n


@compiled
def write(
    log: Log, u: int, action: int, song: int, artist: int, at: int, played: int, scene: int, request: int,
    position: int, fit: float, k: int,
) -> None:  # fmt: skip
    """One event."""
    i = log.n[0]
    log.user[i], log.action[i], log.song[i], log.artist[i], log.at[i] = u, action, song, artist, at
    log.played[i], log.scene[i], log.request[i], log.position[i] = played, scene, request, position
    log.fit[i], log.interest[i] = fit, k
    log.n[0] = i + 1


@compiled
def keep(rng: Any, m: Memory, u: int, song: int, slot: int) -> None:
    """Put the song in the library once."""
    if m.values[slot] & KEPT:
        return
    m.values[slot] |= KEPT
    if m.library_n[u] < LIBRARY:
        m.library[u, m.library_n[u]] = song
        m.library_n[u] += 1
    else:
        m.library[u, int(rng.random() * LIBRARY)] = song


@compiled
def after_full(
    rng: Any, s: Songs, m: Memory, log: Log, u: int, song: int, slot: int, chance: float, at: int,
    scene: int, request: int, position: int, fit: float, k: int,
) -> None:  # fmt: skip
    """Collect, like, share and the rest, once a song each, with the shares that `model` states."""
    loved = False
    for action, flag, share in (
        (COLLECT, COLLECTED, 1.0),
        (LIKE, LIKED, 0.6),
        (SHARE, SHARED, 0.15),
        (ADD, LISTED, 0.3),
        (DOWNLOAD, DOWNLOADED, 0.2),
    ):
        if rng.random() < share * chance and not m.values[slot] & flag:
            m.values[slot] |= flag
            write(log, u, action, song, CODE.none, at, CODE.none, scene, request, position, fit, k)
            if action in (COLLECT, LIKE, SHARE):
                loved = True
            at += 1000
    if loved:
        i = m.love_n[u] % LOVES
        m.love_song[u, i], m.love_at[u, i] = song, at
        m.love_n[u] += 1
        keep(rng, m, u, song, slot)
    if rng.random() < 0.15 * chance and m.followed_n[u] < FOLLOWED:
        for i in range(m.followed_n[u]):
            if m.followed[u, i] == s.artist[song]:
                return
        m.followed[u, m.followed_n[u]] = s.artist[song]
        m.followed_n[u] += 1
        write(log, u, CODE.follow, CODE.none, s.artist[song], at, CODE.none, scene, request, position, fit, k)


@compiled
def playback(
    rng: Any, b: Behaviour, s: Songs, p: Minds, m: Memory, log: Log, u: int, k: int, song: int, at: int, scene: int,
    request: int, position: int,
) -> int:  # fmt: skip
    """One playback and what follows it; returns when it is over."""
    fit, fit_c = fits(b, p, s, u, k, song)
    social = social_of(b, lovers(b, p, m, u, song, at))
    slot = pair_slot(m.keys, u * len(s.quality) + song)
    if m.keys[slot] == -1:
        m.keys[slot] = u * len(s.quality) + song
        m.used[0] += 1
    heard = (m.values[slot] & COUNT_MASK) > 0
    full = full_play(b, fit_c, s.quality[song], social, heard)
    r, action = rng.random(), FULL
    if r >= full:
        action = SKIP if r < full + (1.0 - full) * b.skip_share else PLAY
    length = s.duration[song]
    if action == SKIP:
        played = min(length // 3, 2000 + int(25_000 * rng.random() ** 2))
    elif action == PLAY:
        played = int(length * (0.3 + 0.55 * rng.random()))
    else:
        played = length
    write(log, u, action, song, CODE.none, at, played, scene, request, position, fit, k)
    over = at + played
    m.heat[song] += 1.0 if action == FULL else (0.4 if action == PLAY else 0.0)
    if (m.values[slot] & COUNT_MASK) < COUNT_MASK:
        m.values[slot] += 1
    if action == FULL:
        chance = love(b, fit, s.quality[song], social)
        if rng.random() < 0.3:
            keep(rng, m, u, song, slot)
        after_full(rng, s, m, log, u, song, slot, chance, over - 500, scene, request, position, fit, k)
    elif action == SKIP and m.blocked_n[u] < BLOCKED and rng.random() < block(b, fit):
        m.blocked[u, m.blocked_n[u]] = song
        m.blocked_n[u] += 1
        write(log, u, CODE.block, song, CODE.none, over + 500, CODE.none, scene, request, position, fit, k)
    return int(over + 1000 + int(rng.random() * 4000))


@compiled
def among(songs: Any, n: int, song: int) -> bool:
    """Whether `song` is one of the first n."""
    for i in range(n):  # noqa: SIM110  (numba compiles no generator in `any`)
        if songs[i] == song:
            return True
    return False


@compiled
def is_blocked(m: Memory, u: int, song: int) -> bool:
    """Whether the listener never wants to hear it."""
    return among(m.blocked[u], m.blocked_n[u], song)


@compiled
def softmax_choice(rng: Any, scores: Any, n: int) -> int:
    """One of n in proportion to exp(score)."""
    top, total = scores[0], 0.0
    for i in range(n):
        top = max(top, scores[i])
    for i in range(n):
        total += np.exp(scores[i] - top)
    r = rng.random() * total
    for i in range(n):
        r -= np.exp(scores[i] - top)
        if r < 0:
            return i
    return n - 1


@compiled
def from_library(rng: Any, b: Behaviour, s: Songs, p: Minds, m: Memory, u: int, k: int, done: Any, n: int) -> int:
    """One of 6 songs of the library (3 of the latest 30), P ~ exp(library_focus fit_c); -1 if there is none."""
    size = m.library_n[u]
    if size == 0:
        return -1
    songs, scores, found = np.empty(6, np.int64), np.empty(6), 0
    for i in range(6):
        back = min(size, 30) if i < 3 else size
        song = m.library[u, size - 1 - int(rng.random() * back)]
        if not among(done, n, song) and not is_blocked(m, u, song):
            songs[found] = song
            scores[found] = b.library_focus * fits(b, p, s, u, k, song)[1]
            found += 1
    return int(songs[softmax_choice(rng, scores, found)]) if found else -1


@compiled
def from_friends(
    rng: Any, b: Behaviour, s: Songs, p: Minds, m: Memory, u: int, k: int, at: int, done: Any, n: int
) -> int:
    """A recent love of a followee, the best of 3 by fit_c; -1 if none is at hand."""
    low, high = p.follow_ptr[u], p.follow_ptr[u + 1]
    if high == low:
        return -1
    best, best_fit, oldest = -1, -9.0, at - b.memory_days * DAY_MS
    for _ in range(3):
        i = low + int(rng.random() * (high - low))
        v = p.follow_idx[i]
        size = min(m.love_n[v], LOVES)
        if p.follow_since[i] > at or size == 0:
            continue
        j = int(rng.random() * size)
        song = m.love_song[v, j]
        if not oldest <= m.love_at[v, j] <= at or among(done, n, song) or is_blocked(m, u, song):
            continue
        fit = fits(b, p, s, u, k, song)[1]
        if fit > best_fit:
            best, best_fit = song, fit
    return best


@compiled
def propose(rng: Any, s: Songs, p: Minds, m: Memory, t: Today, u: int, k: int, at: int) -> int:
    """One candidate of a search: by artist 0.28, genre 0.28, place 0.2, attraction 0.17, fresh 0.07; -1 if none."""
    r = rng.random()
    if r < 0.28:
        artist = p.artist[u, k]
        if m.followed_n[u] and rng.random() < 0.3:
            artist = m.followed[u, int(rng.random() * m.followed_n[u])]
        low, high = s.artist_ptr[artist], s.artist_ptr[artist + 1]
        while high > low and s.uploaded[s.artist_songs[high - 1]] > at:
            high -= 1
        # the newest first: the square of a uniform number counts back from the end
        return int(s.artist_songs[high - 1 - int(rng.random() ** 2 * (high - low))]) if high > low else -1
    if r < 0.56:
        g = s.genre[s.artist_songs[s.artist_ptr[p.artist[u, k]]]]
        return pick(rng, t.cum, s.genre_songs, s.genre_ptr[g], s.genre_ptr[g + 1])
    if r < 0.76:
        low, high = s.place_ptr[p.place[u]], s.place_ptr[p.place[u] + 1]
        return pick(rng, t.place_cum, s.place_songs, low, high)
    if r < 0.93 or len(t.fresh) == 0:
        return pick(rng, t.cum, s.genre_songs, 0, len(t.cum))
    return int(t.fresh[int(rng.random() * len(t.fresh))])


@compiled
def search(
    rng: Any, b: Behaviour, s: Songs, p: Minds, m: Memory, t: Today, u: int, k: int, at: int, done: Any, n: int
) -> int:
    """A song that the listener finds without help: P ~ exp(search_focus fit_c + quality) over the proposals."""
    songs, scores, found = np.empty(b.proposals, np.int64), np.empty(b.proposals), 0
    for _ in range(b.proposals):
        song = propose(rng, s, p, m, t, u, k, at)
        if song < 0 or s.uploaded[song] > at or among(done, n, song) or is_blocked(m, u, song):
            continue
        slot = pair_slot(m.keys, u * len(s.quality) + song)
        songs[found] = song
        scores[found] = b.search_focus * fits(b, p, s, u, k, song)[1] + s.quality[song]
        scores[found] -= 1.0 if m.keys[slot] != -1 else 0.0
        found += 1
    return int(songs[softmax_choice(rng, scores, found)]) if found else -1


@compiled
def show(
    rng: Any, b: Behaviour, s: Songs, p: Minds, m: Memory, t: Today, log: Log, u: int, k: int, at: int, scene: int,
    offered: Any, offered_chance: Any, done: Any, n: int, left: int,
) -> tuple[int, int]:  # fmt: skip
    """One slate: shown, looked at from the top, played or not; returns (end, playbacks).

    `offered` (slots,) is another recommender's slate, -1 for an empty slot; length 0: the logged policy's.
    """
    size = b.slots
    songs, channels, chances = np.full(size, -1, np.int64), np.full(size, 4, np.int64), np.full(size, np.nan)
    if len(offered):
        for i in range(len(offered)):  # a loop: assigning a slice takes seconds more to compile
            songs[i], chances[i] = offered[i], offered_chance[i]
    else:
        slate(rng, b, t, s, p, m, u, songs, channels, chances)
    request = log.n[2]
    log.n[2] += 1
    played, start = CODE.zero, at
    for slot in range(size):
        song = songs[slot]
        if song < 0:
            continue
        fit, fit_c = fits(b, p, s, u, k, song)
        i = log.n[1]
        log.shown_request[i], log.shown_user[i], log.shown_song[i], log.shown_position[i] = request, u, song, slot
        log.shown_at[i], log.shown_scene[i], log.shown_channel[i] = start, scene, channels[slot]
        log.shown_score[i], log.shown_propensity[i], log.shown_fit[i] = t.weight[song], chances[slot], fit
        log.n[1] = i + 1
        if played >= left or rng.random() >= examine(b, slot, scene == RADIO):
            continue
        if is_blocked(m, u, song) or among(done, n + played, song):
            continue
        slot_of = pair_slot(m.keys, u * len(s.quality) + song)
        social = social_of(b, lovers(b, p, m, u, song, at))
        if rng.random() < click(b, p.curiosity[u], fit_c, s.quality[song], social, m.keys[slot_of] != -1):
            at = playback(rng, b, s, p, m, log, u, k, song, at + 1500, scene, request, slot)
            done[n + played] = song
            played += 1
    return at + 3000, played


@compiled
def session(
    rng: Any, b: Behaviour, s: Songs, p: Minds, m: Memory, t: Today, log: Log, u: int, k: int, at: int, offered: Any,
    offered_chance: Any, sought: Any,
) -> None:  # fmt: skip
    """A session of listener u on interest k that begins at `at`; `offered` (pages x slots,) as in `show`, `sought`
    the songs that it begins with."""
    # the inverse of the geometric distribution's cumulative one
    budget = 1 + int(np.log(1.0 - rng.random()) / np.log(1.0 - 1.0 / b.session_mean))
    budget = min(budget, b.session_cap)
    done, n, pages = np.full(budget + 1, -1, np.int64), CODE.zero, CODE.zero
    for song in sought:
        if n < budget and not is_blocked(m, u, song):
            at = playback(rng, b, s, p, m, log, u, k, song, at + 1000, CODE.searched, CODE.none, CODE.none)
            done[n] = song
            n += 1
    for _ in range(budget * 2):
        if n >= budget:
            break
        r, song, scene = rng.random(), -1, SEARCHED
        if r < b.from_library:
            song, scene = from_library(rng, b, s, p, m, u, k, done, n), FROM_LIBRARY
        elif r < b.from_library + b.from_friends:
            song, scene = from_friends(rng, b, s, p, m, u, k, at, done, n), FROM_FRIENDS
        elif r >= b.from_library + b.from_friends + b.from_search and pages < b.pages:
            where = RADIO if rng.random() < b.radio_share else HOME
            low, high = pages * b.slots, min((pages + 1) * b.slots, len(offered))
            at, more = show(
                rng, b, s, p, m, t, log, u, k, at, where, offered[low:high], offered_chance[low:high], done, n,
                budget - n,
            )  # fmt: skip
            n, pages = n + more, pages + 1
            continue
        if song < 0:
            song, scene = search(rng, b, s, p, m, t, u, k, at, done, n), SEARCHED
            if song >= 0 and rng.random() < 0.3:
                write(
                    log, u, CODE.search, CODE.none, s.artist[song], at, CODE.none, CODE.searched, CODE.none, CODE.none,
                    0.0, k,
                )  # fmt: skip
        if song >= 0:
            at = playback(rng, b, s, p, m, log, u, k, song, at + 1000, scene, CODE.none, CODE.none)
            done[n] = song
            n += 1
    log.n[3] += 1


@compiled
def run_sessions(
    rng: Any, b: Behaviour, s: Songs, p: Minds, m: Memory, t: Today, log: Log, users: Any, interests: Any, starts: Any,
    offered: Any, offered_chance: Any, sought_ptr: Any, sought: Any,
) -> None:  # fmt: skip
    """Sessions in the order given; `offered` is (sessions, pages x slots), or (sessions, 0) for the logged policy;
    `sought_ptr` (sessions + 1,) and `sought` are the songs that each begins with, as CSR."""
    for i in range(len(users)):
        first = sought[sought_ptr[i] : sought_ptr[i + 1]]
        session(rng, b, s, p, m, t, log, users[i], interests[i], starts[i], offered[i], offered_chance[i], first)
