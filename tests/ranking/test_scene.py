import pytest

from graph.errors import SettingsError
from ranking.scene import ChannelUse, SceneConfig, default_channels
from recall.discovery import channel_names


@pytest.mark.parametrize(
    ("heard", "ms"),
    [("never", float("inf")), ("always", 0), ("after 14d", 14 * 86_400_000), ("after 0.5h", 1_800_000)],
)
def test_heard_is_a_policy_in_three_forms(heard: str, ms: float) -> None:
    assert SceneConfig(heard=heard).heard_after_ms() == ms


@pytest.mark.parametrize("heard", ["", "sometimes", "after", "after 3", "after 3w", "after -1d", "Never"])
def test_another_form_is_refused(heard: str) -> None:
    with pytest.raises(SettingsError, match=r'heard must be "never", "always" or like "after 14d"'):
        SceneConfig(heard=heard)


@pytest.mark.parametrize("field", ["n", "pool", "budget_ms"])
def test_numbers_must_be_more_than_0(field: str) -> None:
    with pytest.raises(SettingsError, match=f"scene: {field} must be more than 0 \\(got 0\\)"):
        SceneConfig(**{field: 0})


@pytest.mark.parametrize(
    "channels", [{}, {"a": ChannelUse(quota=0)}, {"a": ChannelUse(weight=-1)}, {"a": ChannelUse(weight=float("inf"))}]
)
def test_channels_need_a_quota_and_a_weight(channels: dict[str, ChannelUse]) -> None:
    with pytest.raises(SettingsError, match="channel"):
        SceneConfig(channels=channels)


def test_the_share_of_what_is_near_is_below_1() -> None:
    with pytest.raises(SettingsError, match=r"scene: here must be from 0 to below 1 \(got 1\)"):
        SceneConfig(here=1)


def test_a_channel_is_asked_always_or_for_a_place_and_one_always() -> None:
    with pytest.raises(SettingsError, match="channel lbs: asked must be one of always, place \\(got 'here'\\)"):
        SceneConfig(channels={"lbs": ChannelUse(asked="here")})
    with pytest.raises(SettingsError, match="at least one channel must be asked always"):
        SceneConfig(channels={"lbs": ChannelUse(asked="place")})


def test_the_default_channels_ship() -> None:
    assert set(default_channels()) <= set(channel_names())


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan"), "some", "0.1", True, None])
def test_the_reserve_is_learned_or_a_share(value: object) -> None:
    with pytest.raises(SettingsError, match=r'^scene: reserve must be "learned" or from 0 to below 1 \(got '):
        SceneConfig(reserve=value)  # type: ignore[arg-type]
    assert [SceneConfig(reserve=good).reserve for good in ("learned", 0, 0.99)] == ["learned", 0, 0.99]
