"""What every channel keeps to: each file of `recall/channels/`, a new one from the moment it exists."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_configs import variations
from segue_test_worlds import ANSWER, NOW, SCORING, World, built, planted_snapshot

from graph.durations import HOUR_MS
from graph.errors import SettingsError
from recall.base import Channel, Query
from recall.by_interest import BESIDES
from recall.discovery import ChannelType, channel_names, channel_type
from recall.kept_answers import question
from recall.listeners.interests import Leaders
from recall.listeners.listener import Listener

KS = (0, 1, 3, 100)
NAMES = channel_names()


@pytest.fixture(scope="module", params=NAMES)
def kind(request: pytest.FixtureRequest) -> ChannelType:
    return channel_type(request.param)


@pytest.fixture(scope="module", params=["lopsided", "planted"])
def world(request: pytest.FixtureRequest) -> World:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, World)
    return found


@pytest.fixture(scope="module")
def channel(kind: ChannelType, world: World) -> Channel:
    return kind.build(world.release)


def queries(world: World) -> Iterator[Query]:
    """Everybody, somebody unknown, nobody; with nothing, with what they heard and with everything left out."""
    every = world.snapshot.ids["Song"].to_list()
    for user in (*world.snapshot.ids["User"].to_list(), "unknown", None):
        yield world.query(user)
        yield world.query(user, heard=True)
        yield world.query(user, exclude=every[1:])
        yield world.query(user, exclude=every)


def test_has_a_frozen_config_that_needs_nothing(kind: ChannelType) -> None:
    config = kind.config()
    assert dataclasses.is_dataclass(config)
    assert config.__dataclass_params__.frozen
    assert config == kind.configure({})


def test_says_for_whom_it_is(kind: ChannelType, channel: Channel, world: World) -> None:
    assert isinstance(kind.channel.audience, str)
    assert kind.channel.audience.strip()
    for user in (*world.snapshot.ids["User"].to_list(), "unknown"):
        assert channel.serves(world.listener(user)) in (True, False)


@pytest.mark.parametrize("k", KS)
def test_never_more_than_k_and_no_song_twice(channel: Channel, world: World, k: int) -> None:
    for query in queries(world):
        found = channel.recall(query, k)
        assert len(found) == len(found.scores) <= k
        assert len(set(found.songs.tolist())) == len(found)


@pytest.mark.parametrize("k", KS)
def test_interests_change_nothing_of_the_best_and_bring_a_tenth_besides(channel: Channel, world: World, k: int) -> None:
    unit = np.zeros((world.snapshot.songs, 2), dtype=np.float32)
    unit[np.arange(world.snapshot.songs), np.arange(world.snapshot.songs) % 2] = 1  # two interests of every listener
    leaders = Leaders.fit(world.snapshot, unit)
    for query in queries(world):
        found, plain = channel.recall(dataclasses.replace(query, leaders=leaders), k), channel.recall(query, k)
        assert found.besides <= math.ceil(k * BESIDES)
        assert len(set(found.songs.tolist())) == len(found)
        assert query.permits(found.songs).all()
        assert found.main.scores.tolist() == pytest.approx(plain.scores.tolist(), abs=1e-5)


def test_scores_are_finite_and_fall(channel: Channel, world: World) -> None:
    for query in queries(world):
        scores = channel.recall(query, 100).scores
        assert np.isfinite(scores).all()
        assert (np.diff(scores) <= 0).all()


def test_nothing_excluded_comes_back(channel: Channel, world: World) -> None:
    for query in queries(world):
        found = channel.recall(query, 100).songs
        assert ((found >= 0) & (found < world.snapshot.songs)).all()
        assert not np.isin(found, query.exclude).any()


def test_while_it_says_so_the_clock_changes_nothing(channel: Channel, world: World) -> None:
    lasts_ms = getattr(channel, "lasts_ms", 0.0)
    if not lasts_ms:
        return
    begin = NOW - NOW % HOUR_MS + 400 * HOUR_MS
    for user in (*world.snapshot.ids["User"].to_list(), "unknown", None):
        asked = [world.query(user, at=at) for at in (begin, begin + int(min(lasts_ms, 900 * HOUR_MS)) - 1)]
        asked = [query for query in asked if query.listener.moment(query.at) != query.at]  # others are asked each time
        if len(asked) == 2 and question(channel, asked[0], 9) == question(channel, asked[1], 9):
            first, later = (channel.recall(query, 9) for query in asked)
            assert first.songs.tolist() == later.songs.tolist()
            assert first.scores.tolist() == pytest.approx(later.scores.tolist(), rel=1e-9)


@pytest.mark.parametrize("user", ["unknown", None])
def test_an_empty_history_is_answered(channel: Channel, world: World, user: str | None) -> None:
    assert len(channel.recall(world.query(user), 3)) <= 3


def test_the_best_few_are_the_first_of_many(channel: Channel, world: World) -> None:
    for query in queries(world):
        assert np.allclose(channel.recall(query, 2).scores, channel.recall(query, 100).scores[:2])


def test_same_question_same_answer(kind: ChannelType, channel: Channel, world: World) -> None:
    other = kind.build(world.release)
    for query, again in zip(queries(world), queries(world), strict=True):
        first, second = channel.recall(query, 10), other.recall(again, 10)
        assert first.songs.tolist() == second.songs.tolist() == channel.recall(query, 10).songs.tolist()
        assert first.scores.tolist() == second.scores.tolist()


def test_personal_channels_find_the_planted_answer(kind: ChannelType, planted: World) -> None:
    if kind.name == "again":
        return  # it proposes what was heard, and nothing else
    channel = kind.build(planted.release)
    you, nobody = planted.listener("you"), planted.listener("unknown")
    if channel.serves(you) and not channel.serves(nobody):
        assert next(iter(planted.answer(channel, "you", heard=True))) == ANSWER


def test_impersonal_channels_answer_somebody_unknown(kind: ChannelType, planted: World) -> None:
    channel = kind.build(planted.release)
    if channel.serves(planted.listener("unknown")):
        assert len(channel.recall(planted.query("unknown"), 5)) == 5


# ---- each field of a config does something


# the planted log is too short for anybody to be sure of a rise
WITH: Mapping[str, dict[str, Any]] = {"trending": {"sure": 0.0}, "latest": {"songs": 3}}
# nobody in the planted world does anything between one value of these and another: tests of their own show them
APART = {("latest", "hours"), ("latest", "works")}
# a model with listener vectors is searched by them alone
VARIED = [name for name in NAMES if name != SCORING]
FIELDS = [(name, field.name) for name in VARIED for field in dataclasses.fields(channel_type(name).config)]
SEEN = [pair for pair in FIELDS if pair not in APART]


@pytest.mark.parametrize(("name", "field"), SEEN)
def test_each_field_of_the_config_changes_something(name: str, field: str, planted: World, tmp_path: Path) -> None:
    kind = channel_type(name)
    others = WITH.get(name, {})
    usual = _answers(kind, planted, others)
    for i, value in enumerate(variations(getattr(kind.config(), field))):
        options = {**others, field: value}
        release = built(tmp_path / str(i), planted_snapshot(), planted.vectors, [name], {name: options})
        if _answers(kind, World(release, planted.vectors), options) != usual:
            return
    pytest.fail(f"no value of {name}.{field} changes anything")


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")], ids=str)
@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_impossible_values_are_refused_or_do_no_harm(name: str, field: str, value: float, planted: World) -> None:
    kind = channel_type(name)
    usual = getattr(kind.config(), field)
    wrong = dict.fromkeys(usual, value) if isinstance(usual, Mapping) else value
    try:
        channel = kind.build(planted.release, {field: wrong})
    except SettingsError as refused:
        if field not in str(refused):
            raise
        return
    for query in (planted.query(user) for user in ("you", "unknown")):
        found = channel.recall(query, 12)
        assert np.isfinite(found.scores).all()
        assert len(found) <= 12


def _answers(kind: ChannelType, world: World, options: Mapping[str, Any]) -> list[list[tuple[int, float]]]:
    channel = kind.build(world.release, options)
    asked = [world.query(user, heard=heard) for user in ("you", "ann0", "bob00", "unknown") for heard in (True, False)]
    newcomer = Listener(world.snapshot, asked[0].listener.user, *[np.empty(0, dtype=np.int64)] * 4, "you")
    asked.append(dataclasses.replace(asked[1], listener=newcomer))
    found = [channel.recall(query, 12) for query in asked]
    return [list(zip(f.songs.tolist(), f.scores.tolist(), strict=True)) for f in found]


@pytest.mark.parametrize("name", NAMES)
def test_a_config_without_fields_says_so(name: str) -> None:
    config = channel_type(name).config
    assert dataclasses.fields(config) or config.__doc__ == "Nothing to set."


def test_a_listener_without_position_is_a_session(lopsided: World) -> None:
    session = Listener.of_session(lopsided.snapshot, np.array(lopsided.songs("s1", "s3")), 5)
    assert session.user == -1
    assert session.heard.tolist() == lopsided.songs("s1", "s3")
