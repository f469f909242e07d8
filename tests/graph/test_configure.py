from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from graph.configure import check_positive, configure
from graph.errors import SettingsError


@dataclass(frozen=True)
class Inner:
    gap: int = 3


@dataclass(frozen=True)
class Config:
    rate: float = 0.5
    count: int = 2
    name: str = "x"
    on: bool = False
    limit: int | None = None
    gamma: Mapping[str, float] = field(default_factory=lambda: {"a": 1.0, "b": 2.0})
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must be at least 0 (got {self.count})")


def test_nothing_given_is_the_default() -> None:
    assert configure(Config, {}, "it") == Config()


def test_options_lie_over_the_defaults() -> None:
    made = configure(Config, {"rate": 1, "gamma": {"b": 0}, "inner": {"gap": 9}, "limit": 4, "on": True}, "it")
    assert made == Config(rate=1.0, gamma={"a": 1.0, "b": 0.0}, inner=Inner(9), limit=4, on=True)
    assert isinstance(made.rate, float)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rat": 1}, "it: unknown option 'rat' (known: count, gamma, inner, limit, name, on, rate)"),
        ({"rate": "1"}, "it: rate must be float (got '1')"),
        ({"rate": True}, "it: rate must be float (got True)"),
        ({"count": 1.5}, "it: count must be int (got 1.5)"),
        ({"count": True}, "it: count must be int (got True)"),
        ({"on": 1}, "it: on must be bool (got 1)"),
        ({"gamma": {"a": "much"}}, "it: gamma.a must be a number (got 'much')"),
        ({"gamma": 1}, "it: gamma must be dict (got 1)"),
        ({"inner": {"gop": 1}}, "it: inner: unknown option 'gop' (known: gap)"),
        ({"inner": 3}, "it: inner must be Inner (got 3)"),
        ({"rate": float("nan")}, "it: rate must be float (got nan)"),
        ({"gamma": {"a": float("inf")}}, "it: gamma.a must be a number (got inf)"),
        ({"count": -1}, "it: count must be at least 0 (got -1)"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        configure(Config, options, "it")
    assert str(raised.value) == message


@pytest.mark.parametrize("value", [0, -1.5, float("nan")])
def test_a_field_that_must_be_positive(value: float) -> None:
    check_positive(Config(rate=1e-9), "rate", "count")
    with pytest.raises(ValueError, match=r"rate must be more than 0 \(got"):
        check_positive(Config(rate=value), "rate")
