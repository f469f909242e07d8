import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from api.settings import RESERVED, GraphSettings, SceneSettings, Settings, load
from graph.errors import SettingsError
from graph.store.config import GraphConfig
from ranking.fine.linear import Linear, LinearConfig
from ranking.rerank.mmr import Mmr, MmrConfig
from ranking.scene import ChannelUse, SceneConfig, default_channels


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no variable of ours."""
    for name in [n for n in os.environ if n.startswith("SEGUE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text: str, path: Path = Path("segue.toml")) -> Settings:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    return load(path)


# ---- where settings come from


def test_without_a_file_the_defaults_hold(house: Path) -> None:
    settings = load()
    assert settings.graph.url == f"embedded:{house}/var/graph"
    assert settings.events.url == f"sqlite:///{house}/var/events.db"
    assert settings.releases.dir == house / "var" / "releases"
    assert (settings.seed, settings.clock, settings.privacy.h3_resolution) == (0, None, 7)


def test_a_file_in_the_working_folder_is_read(house: Path) -> None:
    (house / "segue.toml").write_text("seed = 3")
    assert load().seed == 3


def test_the_option_goes_before_the_variable_and_that_before_the_folder(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("segue.toml", 1), ("b.toml", 2), ("c.toml", 3)):
        (house / name).write_text(f"seed = {seed}")
    monkeypatch.setenv("SEGUE_CONFIG", str(house / "b.toml"))
    assert load().seed == 2
    assert load(house / "c.toml").seed == 3
    monkeypatch.setenv("SEGUE_CONFIG", str(house / "none.toml"))
    with pytest.raises(SettingsError, match=r"none\.toml: no such settings file"):
        load()


def test_variables_lie_over_the_file_and_nest(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_SEED", "9")
    monkeypatch.setenv("SEGUE_GRAPH__URL", "bolt://server:7687")
    monkeypatch.setenv("SEGUE_SCENES__RADIO__N", "7")
    monkeypatch.setenv("SEGUE_SCENES__RADIO__CHANNELS__SOCIAL__QUOTA", "5")
    monkeypatch.setenv("SEGUE_EMBED__SONG2VEC__EPOCHS", "3")
    monkeypatch.setenv("SEGUE_EMBED__SONG2VEC__GAMMA__HAS_GENRE", "0.25")
    settings = written('seed = 1\n[graph]\nurl = "embedded:g"\nuser = "me"\n[scenes.radio]\nheard = "always"')
    assert (settings.seed, settings.graph.url, settings.graph.user) == (9, "bolt://server:7687", "me")
    radio = settings.scene_configs()["radio"]
    assert (radio.n, radio.heard, radio.channels["social"].quota) == (7, "always", 5)
    assert (settings.models()["song2vec"].epochs, settings.models()["song2vec"].gamma["HAS_GENRE"]) == (3, 0.25)


def test_overrides_lie_over_everything(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_SEED", "9")
    assert load(overrides={"seed": 4}).seed == 4


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_variables_are_no_settings(name: str, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (house / "segue.toml").write_text("")
    monkeypatch.setenv(name, str(house / "segue.toml"))
    assert load().seed == 0


# ---- paths


def test_relative_paths_are_relative_to_the_file(house: Path) -> None:
    text = '[graph]\nurl = "embedded:g"\n[events]\nurl = "sqlite:///e.db"\n[releases]\ndir = "r"\n[state]\ndir = "s"'
    settings = written(text, house / "sub" / "segue.toml")
    sub = house / "sub"
    assert settings.graph.url == f"embedded:{sub}/g"
    assert settings.events.url == f"sqlite:///{sub}/e.db"
    assert (settings.releases.dir, settings.state.dir) == (sub / "r", sub / "s")


def test_what_names_no_folder_of_its_own_stands_in_the_state(house: Path) -> None:
    settings = written('[state]\ndir = "s"')
    assert settings.graph.url == f"embedded:{house}/s/graph"
    assert settings.events.url == f"sqlite:///{house}/s/events.db"
    assert settings.releases.dir == house / "s" / "releases"


def test_absolute_paths_and_servers_stay_as_they_are(house: Path) -> None:
    settings = written('[graph]\nurl = "neo4j+s://h"\n[events]\nurl = "postgresql://u@h/db"\n[releases]\ndir = "/r"')
    assert (settings.graph.url, settings.events.url) == ("neo4j+s://h", "postgresql://u@h/db")
    assert settings.releases.dir == Path("/r")
    assert written('[events]\nurl = "sqlite:////abs/e.db"').events.url == "sqlite:////abs/e.db"


# ---- mistakes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede = 1", "sede: Extra inputs are not permitted"),
        ('[graph]\nurk = "x"', r"graph\.urk: Extra inputs"),
        ("seed = -1", "seed: Input should be greater than or equal to 0"),
        ('seed = "x"', "seed: .*valid integer"),
        ('clock = "moon"', "clock: "),
        ("[api]\nport = 70000", r"api\.port: "),
        ('[api]\ncors_origins = ["player.example"]', r"api\.cors_origins: .*a scheme and a host .*'player\.example'"),
        ('[api]\ncors_origins = ["https://player.example/"]', r"api\.cors_origins: "),
        ("[api]\nreceive_timeout_s = 0", r"api\.receive_timeout_s: "),
        ("[api]\nconcurrent_requests = 0", r"api\.concurrent_requests: "),
        ("[privacy]\nh3_resolution = 16", r"privacy\.h3_resolution: "),
        ('[refresh]\nschedule = "25:00"', r"refresh\.schedule: "),
        ("[graph]\nlinger_s = -1", r"graph: linger_s must be 0 or more, and finite \(got -1"),
        ("[graph]\nquery_timeout_s = 0", r"graph: query_timeout_s must be more than 0 \(got 0"),
        ('[scenes.radio]\nn = "x"', r"scenes\.radio\.n: .*valid integer"),
        ("[scenes.radio]\nm = 1", r"scenes\.radio\.m: Extra inputs"),
        ("[scenes.radio]\nn = 0", r"^scenes\.radio: n must be more than 0 \(got 0\)"),
        ("[scenes.radio]\nn = 501", r"^scenes\.radio: n must be at most 500 \(got 501\)"),
        ("[scenes.radio]\npool = 0", r"^scenes\.radio: pool must be"),
        ("[scenes.radio]\nbudget_ms = 0", r"^scenes\.radio: budget_ms must be"),
        ("[scenes.radio]\nper_artist = -1", r"^scenes\.radio: per_artist must be"),
        ("[scenes.radio]\nreserve = 1", r'^scenes\.radio: reserve must be "learned" or from 0 to below 1 \(got 1\.0\)'),
        ('[scenes.radio]\nreserve = "much"', r'^scenes\.radio: reserve must be "learned" or .* \(got \'much\'\)'),
        ('[scenes.radio]\nquotas = "many"', r"^scenes\.radio: quotas must be one of fixed, importance, learned"),
        ('[scenes.radio]\nheard = "maybe"', r"^scenes\.radio: heard must be"),
        ('[scenes.mine]\nranker = "lineal"', r"^scenes\.mine\.ranker: unknown ranker 'lineal' \(known: fused, linear"),
        (
            "[scenes.mine.rankers.lineal]\nl2 = 1",
            r"^scenes\.mine\.rankers\.lineal: unknown ranker 'lineal' \(known: lin",
        ),
        ("[scenes.mine.rankers.linear]\nl3 = 1", r"^scenes\.mine\.rankers\.linear: unknown option 'l3' \(known: "),
        ("[scenes.mine.rankers.linear]\nl2 = -1", r"^scenes\.mine\.rankers\.linear: l2 must be at least 0"),
        ("[scenes.mine.rankers.linear]\nuse = 3", r"^scenes\.mine\.rankers\.linear\.use must be"),
        ("[scenes.mine.rankers.fused]\nl2 = 1", r"^scenes\.mine\.rankers\.fused: no ranker may be called fused"),
        (
            '[scenes.mine.rankers.fusion]\nuse = "a:B"',
            r"^scenes\.mine\.rankers\.fusion: no ranker may be called fusion",
        ),
        ('[scenes.mine.rankers.x]\nuse = "a_b:B"', r"^scenes\.mine\.rankers\.x: ranker 'x': cannot import a_b"),
        ('[scenes.mine]\nreranker = "mmmr"', r"^scenes\.mine\.reranker: unknown re-ranker 'mmmr' \(known: mmr"),
        ("[scenes.mine.rerankers.mmmr]\nx = 1", r"^scenes\.mine\.rerankers\.mmmr: unknown re-ranker 'mmmr'"),
        ("[scenes.mine.rerankers.mmr]\nx = 1", r"^scenes\.mine\.rerankers\.mmr: unknown option 'x' \(known: balance"),
        ("[scenes.mine.rerankers.mmr]\nbalance = 2", r"^scenes\.mine\.rerankers\.mmr: balance must be between 0 and 1"),
        ('[scenes.mine.rerankers.mmr]\nuse = ""', r"^scenes\.mine\.rerankers\.mmr\.use must be"),
        ("[scenes.radio.channels.soical]\nquota = 1", "unknown channel 'soical'"),
        ("[scenes.radio.channels.social]\ntrusty = 1", "unknown option 'trusty'"),
        ("[scenes.radio.channels.social]\nquota = -1", r"channels\.social\.quota must be a whole number"),
        ("[scenes.radio.channels.social]\nquota = true", r"channels\.social\.quota must be a whole number"),
        ('[scenes.radio.channels.social]\nweight = "x"', r"channels\.social\.weight must be a number"),
        ("[scenes.radio.channels.social]\nuse = 3", r"channels\.social\.use must be"),
        ("[embed.song3vec]\nepochs = 1", r"embed\.song3vec: unknown model"),
        ("[embed.song2vec]\nepoch = 1", "unknown option 'epoch'"),
        ('[embed.song2vec.gamma]\nHAS_GENRE = "x"', r"gamma\.HAS_GENRE must be a number"),
        ("seed = ", r"segue\.toml"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        written(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["SEGUE_SEDE", "SEGUE_GRAPH_URL", "SEGUE_GRAPH__URK", "SEGUE_SEED__X"])
def test_a_mistake_in_a_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=r"unknown setting|graph\.urk"):
        load()


# ---- scenes


def test_scenes_ship_and_keep_what_a_file_does_not_say() -> None:
    text = "[scenes.daily]\nn = 5\n[scenes.mine]\nn = 3\n[scenes.fresh.channels.fresh]\ndays = 7"
    scenes = written(text).scene_configs()
    assert scenes.keys() == {"radio", "daily", "similar", "nearby", "following", "fresh", "mine"}
    assert [(scenes[name].n, scenes[name].heard) for name in ("radio", "daily", "mine")] == [
        (10, "never"),
        (5, "after 14d"),
        (3, "never"),
    ]
    assert set(scenes["daily"].channels) == {*default_channels(), "again"}
    assert scenes["fresh"].channels["fresh"] == ChannelUse(quota=300, weight=0.5, options={"days": 7})
    assert set(scenes["fresh"].channels) == {"fresh", *scenes["fresh"].otherwise}


def test_channel_options_lie_over_the_defaults_and_quota_0_takes_one_out() -> None:
    text = "[scenes.radio.channels.social]\nquota = 7\ntrust = 1\n[scenes.radio.channels.trending]\nquota = 0"
    channels = written(text).scene_configs()["radio"].channels
    assert (channels["social"].quota, channels["social"].weight, channels["social"].options) == (7, 1.0, {"trust": 1})
    assert "trending" not in channels
    assert channels["item_knn"].quota == 100


def test_a_channel_from_outside_is_used_by_its_class(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (house / "settings_outside.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass MineConfig:\n    depth: int = 1\n"
        "class Mine:\n    audience = 'all'\n    def recall(self, query, k): ...\n"
    )
    monkeypatch.syspath_prepend(str(house))
    use = '[scenes.radio.channels.mine]\nuse = "settings_outside:Mine"\n'
    channel = written(f"{use}depth = 2").scene_configs()["radio"].channels["mine"]
    assert (channel.use, channel.options) == ("settings_outside:Mine", {"depth": 2})
    with pytest.raises(SettingsError, match="unknown option 'width'"):
        written(f"{use}width = 2")


def test_rankers_and_rerankers_are_set_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_SCENES__RADIO__RANKERS__LINEAR__ITERATIONS", "50")
    text = "[scenes.radio.rankers.linear]\nl2 = 1\n[scenes.radio.rerankers.mmr]\nbalance = 0.5"
    scenes = written(text).scene_configs()
    assert scenes["radio"].ranker_of() == (Linear, LinearConfig(l2=1.0, iterations=50))
    assert scenes["radio"].reranker_of() == (Mmr, MmrConfig(balance=0.5))
    assert scenes["daily"].ranker_of() == (Linear, LinearConfig())
    assert scenes["similar"].ranker_of() is None


def test_a_ranker_and_a_reranker_from_outside_are_used_by_their_classes(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house / "outside_order.py").write_text(
        "from dataclasses import dataclass\n"
        "from ranking.fine.linear import Linear\nfrom ranking.rerank.mmr import Mmr\n"
        "@dataclass(frozen=True)\nclass MineConfig:\n    depth: int = 1\nclass Mine(Linear): ...\n"
        "@dataclass(frozen=True)\nclass TopConfig:\n    width: int = 1\nclass Top(Mmr): ...\n"
    )
    monkeypatch.syspath_prepend(str(house))
    ranker = (
        '[scenes.radio]\nranker = "mine"\nreranker = "top"\n[scenes.radio.rankers.mine]\nuse = "outside_order:Mine"\n'
    )
    reranker = '[scenes.radio.rerankers.top]\nuse = "outside_order:Top"\n'
    radio = written(f"{ranker}depth = 2\n{reranker}width = 3").scene_configs()["radio"]
    found = [radio.ranker_of(), radio.reranker_of()]
    assert [(unit.__name__, dataclasses.asdict(config)) for unit, config in found] == [
        ("Mine", {"depth": 2}),
        ("Top", {"width": 3}),
    ]
    with pytest.raises(SettingsError, match=r"^scenes\.radio\.rankers\.mine: unknown option 'width'"):
        written(f"{ranker}width = 2\n{reranker}")


@pytest.mark.parametrize(("section", "config"), [(SceneSettings, SceneConfig), (GraphSettings, GraphConfig)])
def test_a_section_has_the_fields_and_defaults_of_its_dataclass(section: Any, config: Any) -> None:
    assert set(section.model_fields) == {field.name for field in dataclasses.fields(config)}
    plain = {name: value for name, value in section().model_dump().items() if not isinstance(value, dict | SecretStr)}
    assert plain == {name: getattr(config(), name) for name in plain}
    assert len(plain) >= 6


def test_what_a_dataclass_keeps_out_of_its_repr_is_a_secret() -> None:
    secrets = {name for name, value in GraphSettings().model_dump().items() if isinstance(value, SecretStr)}
    assert secrets == {"password", "reader_password"}


def test_gammas_lie_over_the_default_table() -> None:
    gamma = written('[embed.song2vec.gamma]\nHAS_GENRE = 2\n"RELATED:film" = 0.5').models()["song2vec"].gamma
    assert (gamma["HAS_GENRE"], gamma["RELATED:film"]) == (2.0, 0.5)
    assert "PERFORMED_BY" in gamma


# ---- secrets


def test_secrets_are_hidden_wherever_they_stand() -> None:
    settings = written(
        '[graph]\nurl = "bolt://me:hush@h:7687"\npassword = "hush"\nreader_password = "hush"\n'
        '[events]\nurl = "postgresql://me:hush@h/db?sslpassword=hush&password=hush"\n[api]\nkeys = ["hush-hush-hush-1"]'
    )
    assert "hush" not in str(settings.shown())
    assert "hush" not in repr(settings).replace(settings.graph.url, "").replace(settings.events.url, "")
    assert settings.shown()["graph"]["url"] == "bolt://me:***@h:7687"
    assert settings.graph_config().password == "hush"


@pytest.mark.parametrize(
    "keys", ['[""]', '["swordfish"]', f'["{"a long enough key"}", "swordfish"]', f'["{" " * 20}"]']
)
def test_a_key_that_can_be_guessed_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("SEGUE_API__KEYS", keys)
    with pytest.raises(SettingsError, match=r"api\.keys: .*expected at least 16") as refused:
        load()
    assert "swordfish" not in f"{refused.value} {refused.value.__cause__}"


HASH = "0123456789abcdef" * 4


def test_hashed_keys_and_keys_of_plain_text_stand_side_by_side() -> None:
    api = written(f'[api]\nkeys = ["a plain text key", {{ name = "player", roles = ["read"], sha256 = "{HASH}" }}]').api
    plain, hashed = api.known_keys()
    assert (plain.name, plain.roles) == ("key 1", {"read", "events", "catalogue", "operate"})
    assert (hashed.name, hashed.roles, hashed.digest.hex()) == ("player", {"read"}, HASH)
    assert api.plain_keys() == [1]
    assert HASH not in f"{api!r} {hashed!r}"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (f'name = "p", roles = ["reed"], sha256 = "{HASH}"', r"api\.keys\.0\..*roles\.0: Input should be 'read'"),
        (f'name = "p", roles = [], sha256 = "{HASH}"', r"roles: List should have at least 1"),
        ('name = "p", roles = ["read"], sha256 = "swordfish"', r"sha256: .*expected 64 hexadecimal digits"),
        (f'name = "p q", roles = ["read"], sha256 = "{HASH}"', r"name: String should match"),
        (f'roles = ["read"], sha256 = "{HASH}"', r"name: Field required"),
        (f'name = "p", role = "read", sha256 = "{HASH}"', r"roles: Field required"),
    ],
)
def test_an_entry_of_a_key_that_does_not_fit_is_named(entry: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        written(f"[api]\nkeys = [{{ {entry} }}]")
    assert "swordfish" not in str(refused.value)


def test_two_keys_of_one_name_are_refused() -> None:
    entry = f'{{ name = "player", roles = ["read"], sha256 = "{HASH}" }}'
    with pytest.raises(SettingsError, match=r"api\.keys: .*two keys are called 'player'"):
        written(f"[api]\nkeys = [{entry}, {entry}]")


def test_everything_is_shown_with_its_default() -> None:
    shown = load().shown()
    assert set(shown) == set(Settings.model_fields)
    assert shown["refresh"]["margin"] == 0.1


def test_a_model_is_trained_if_its_table_says_so() -> None:
    assert written("").enabled_models() == ["als", "relation_gamma_gcn", "song2vec"]
    both = written("[embed.lightgcnpp]\nenabled = true\n[embed.relation_gamma_gcn]\nenabled = false")
    assert both.enabled_models() == ["als", "lightgcnpp", "song2vec"]


def test_scenes_leave_out_shipped_channels_of_models_that_are_not_trained() -> None:
    scenes = written("[embed.relation_gamma_gcn]\nenabled = false").scene_configs()
    assert "relation_gamma_gcn" not in scenes["radio"].channels
    assert "song2vec" in scenes["radio"].channels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[embed.nonsense]\nenabled = true", r"embed\.nonsense: unknown model"),
        ('[embed.song2vec]\nenabled = "yes"', r"embed\.song2vec\.enabled must be true or false"),
        ("[scenes.radio.channels.lightgcn]\nquota = 9", r"needs the model lightgcn: set embed\.lightgcn\.enabled"),
        ('[scenes.radio]\notherwise = ["ease"]', "otherwise names ease, which is no channel of the scene"),
    ],
)
def test_models_and_channels_that_do_not_fit_are_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        written(text).scene_configs()
