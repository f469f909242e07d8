"""Settings: TOML, then `SEGUE_` variables over it, checked once at the border; frozen configs go inside."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationError,
    create_model,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SettingsSourceError,
)

from api.keys import ROLES, Key, Role, digest
from embeddings.models import enabled_by_default, model_names, model_type
from graph.configure import configure
from graph.errors import SettingsError
from graph.reasons.phrases import NEVER_CITED
from graph.store.config import GraphConfig
from graph.units import UnitUse
from ranking.scene import ALWAYS, ASKED, FUSED, ChannelUse, SceneConfig, default_channels

# Channels, models and what learns are imported where they are asked for: most commands only want to know a folder.
if TYPE_CHECKING:
    from embeddings.vectors.incremental import UpdateConfig
    from ranking.learning import LearningConfig

# Variables with our prefix that are no settings: where the settings and the data sets are, and what the tests demand.
RESERVED: Final = ("SEGUE_CONFIG", "SEGUE_DATA", "SEGUE_REQUIRE_NEO4J", "SEGUE_REQUIRE_POSTGRESQL")
_PLAIN: Final = ("SEED", "CLOCK")
UPDATE: Final = "update"
"""The table of `[embed]` that is no model: how vectors are taken on from the last release."""
KEY_LENGTH: Final = 16  # the least an API key may have: an empty or guessable one would open the service


def _only(otherwise: tuple[str, ...] = (), note: str = "", **quotas: int | dict[str, Any]) -> dict[str, Any]:
    """A scene of these channels alone, in the order of the merged pool: it has little to learn a ranker from."""
    without = {name: {"quota": 0} for name in default_channels()}
    given = {name: {"quota": quota} if isinstance(quota, int) else quota for name, quota in quotas.items()}
    fixed = {"ranker": FUSED, "quotas": "fixed", "reserve": 0.0, "interests": False}
    return {**fixed, "otherwise": otherwise, "note": note, "channels": without | given}


# What ships; a file's table lies over the one of its name.
DEFAULT_SCENES: Final[dict[str, dict[str, Any]]] = {
    "radio": {},
    "daily": {"n": 30, "heard": "after 14d", "channels": {"again": {"quota": 50}}},
    "similar": {
        "n": 20,
        "heard": "always",
        **_only(
            ("fallback",),
            "too little is known of what you played: popular songs fill the list",
            song_to_song=200,
            item_knn=100,
            recent=100,
            attributes=50,
            fallback=50,
        ),
    },
    "nearby": {
        "n": 20,
        "heard": "after 14d",
        "per_artist": 3,
        **_only(
            ("fallback", "trending"),
            "too little is known of a place near you: songs by your taste and of everywhere fill the list",
            lbs={"quota": 300, "asked": ALWAYS},
            social=100,
            item_knn=100,
            fallback=50,
            trending=50,
        ),
        "fusion": "learned",
        "here": 0.5,
    },
    "following": {
        "n": 20,
        "heard": "after 14d",
        **_only(
            ("attributes", "fallback"),
            "too little is known of whom you follow: songs by your taste fill the list",
            social={"quota": 300, "circle": 0.0, "alike": 0.0},
            attributes=50,
            fallback=50,
        ),
    },
    "fresh": {
        "n": 20,
        "per_artist": 2,
        **_only(
            ("trending", "fallback"),
            "too few songs are known to have come out lately: what is on the rise fills the list",
            fresh=300,
            trending=50,
            fallback=50,
        ),
    },
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=_Section)


class StateSettings(_Section):
    """Where everything is kept that is not the graph of a server."""

    dir: Path = Path("var")
    """Folder of whatever names no folder of its own."""


def _like(config: type[Any]) -> Callable[[type[S]], type[S]]:
    """Gives a section the fields of a frozen dataclass, with types and defaults, but for those that it has itself.

    What the dataclass keeps out of its `repr` is a secret.
    """

    def derived(section: type[S]) -> type[S]:
        hints = get_type_hints(config)
        missing = [field for field in dataclasses.fields(config) if field.name not in section.model_fields]
        found: dict[str, Any] = {field.name: _field(field, hints[field.name]) for field in missing}
        return create_model(section.__name__, __base__=section, __doc__=section.__doc__, **found)

    return derived


def _field(field: dataclasses.Field[Any], hint: Any) -> tuple[Any, Any]:
    """A field of a frozen dataclass as pydantic takes it."""
    default: Any = field.default
    if not field.repr:
        return SecretStr, SecretStr(default)
    if default is not dataclasses.MISSING:
        return hint, default
    factory: Any = field.default_factory
    return hint, Field(default_factory=factory)


class _Derived(_Section):
    """A section whose fields are those of a frozen dataclass, which checks their ranges."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


@_like(GraphConfig)
class GraphSettings(_Derived):
    """`[graph]`: see `graph.store.config.GraphConfig`."""


class EventSettings(_Section):
    """`[events]`: the event log."""

    url: str = "sqlite:///var/events.db"
    """SQL database of the log: sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE."""


class ReleaseSettings(_Section):
    """`[releases]`: where releases are kept."""

    dir: Path = Path("var/releases")
    """Folder of the releases."""
    keep: int = Field(default=5, ge=1)
    """Releases that `segue release prune` leaves, 1 or more."""


class PrivacySettings(_Section):
    """`[privacy]`: what is coarsened before it is written."""

    h3_resolution: int = Field(default=7, ge=0, le=15)
    """H3 resolution, 0 to 15, of the cells that coordinates are coarsened to."""


@_like(SceneConfig)
class SceneSettings(_Derived):
    """`[scenes.NAME]`: see `ranking.scene.SceneConfig`; each `[….channels.CHANNEL]` lies over the default channels,
    `quota = 0` takes one out, `[….rankers.RANKER]` and `[….rerankers.RERANKER]` set one."""

    channels: dict[str, dict[str, Any]] = {}
    """Options of each channel, which lie over the default ones; `quota = 0` takes a channel out."""
    rankers: dict[str, dict[str, Any]] = {}
    """Options of each ranker, by its name."""
    rerankers: dict[str, dict[str, Any]] = {}
    """Options of each re-ranker, by its name."""

    def config(self, name: str) -> SceneConfig:
        """The frozen scene.

        Raises: SettingsError for an unknown channel, ranker, re-ranker or option, or a value out of range.
        """
        where = f"scenes.{name}"
        tables: dict[str, Any] = {"channels": _channel_uses(self.channels, f"{where}.channels")}
        for kind in ("rankers", "rerankers"):
            units = getattr(self, kind).items()
            tables[kind] = {unit: UnitUse.of_table(table, f"{where}.{kind}.{unit}") for unit, table in units}
        try:
            return SceneConfig(**{**self.model_dump(), **tables})
        except SettingsError as error:
            raise SettingsError(f"{where}{str(error).removeprefix('scene')}") from error


def _channel_uses(tables: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, ChannelUse]:
    """The default channels, with what the tables say of each.

    Raises: SettingsError for an unknown channel, or an unknown or unusable option.
    """
    uses = default_channels()
    for channel, table in tables.items():
        use = _channel_use(channel, table, uses.get(channel, ChannelUse()), f"{where}.{channel}")
        if use is None:
            uses.pop(channel, None)
        else:
            uses[channel] = use
    return uses


def _channel_use(channel: str, table: Mapping[str, Any], base: ChannelUse, where: str) -> ChannelUse | None:
    """One channel as its table, which lies over `base`, says; None if it takes the channel out."""
    given = UnitUse.of_table(table, where)
    use, options = given.use or base.use, dict(given.options)
    quota, weight = options.pop("quota", base.quota), options.pop("weight", base.weight)
    asked = options.pop("asked", base.asked)
    if isinstance(quota, bool) or not isinstance(quota, int) or quota < 0:
        raise SettingsError(f"{where}.quota must be a whole number of at least 0 (got {quota!r})")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise SettingsError(f"{where}.weight must be a number of at least 0 (got {weight!r})")
    if asked not in ASKED:
        raise SettingsError(f"{where}.asked must be one of {', '.join(ASKED)} (got {asked!r})")
    from recall.discovery import channel_type

    channel_type(channel, use).configure(options)
    return ChannelUse(quota, float(weight), {**base.options, **options}, use, asked) if quota else None


class RefreshSettings(_Section):
    """`[refresh]`: the gate, and the shares of the log that rank and measure.

    A release is kept back when its `metric`, over the same listeners and held-out songs, is below its parent's beyond
    chance and by more than `margin`.
    """

    margin: float = Field(default=0.1, ge=0, lt=1)
    """Share of its parent's metric that a release may lose, 0 to below 1."""
    metric: Literal["ndcg@10", "recall@10", "hit_rate@10", "mrr"] = "ndcg@10"
    """Metric that the gate compares."""
    min_listeners: int = Field(default=30, ge=2)
    """Listeners to compare by, 2 or more; with fewer a release is published with a warning."""
    measure_share: float = Field(default=0.1, gt=0, lt=0.5)
    """Newest share of the events, which measures, above 0 and below 0.5."""
    rank_share: float = Field(default=0.1, gt=0, lt=0.5)
    """Share before it, which trains the ranker, above 0 and below 0.5."""
    listeners: int = Field(default=1000, ge=1)
    """Listeners of each share at most, 1 or more."""
    neighbours_kept: float = Field(default=0.1, ge=0, le=1)
    """Share of a song's 20 nearest that a model must keep, on average, when it is brought to the log's end, 0 to 1; one
    that does not ships as it was measured."""
    schedule: str | None = Field(default=None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """UTC time of day ("03:30") of the nightly refresh of `segue serve`; unset for none."""


class ReasonSettings(_Section):
    """`[reasons]`: what reasons may say."""

    never_cited: list[str] = list(NEVER_CITED)
    """Words and phrases; a tag whose name holds one of them, word by word and in any case, is never cited."""


class KeySettings(_Section):
    """An entry of `[api] keys`, as `segue keys new` prints it."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """What the log calls the key: 1 to 64 letters, digits, dots, dashes and underscores."""
    roles: list[Role] = Field(min_length=1)
    """What the key may do: read, events, catalogue, operate."""
    sha256: SecretStr
    """SHA-256 of the key, 64 hexadecimal digits."""

    @field_validator("sha256")
    @classmethod
    def _is_a_hash(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[0-9a-f]{64}", value.get_secret_value()):
            raise ValueError("expected 64 hexadecimal digits, as `segue keys new` prints them")
        return value

    def key(self) -> Key:
        """The key as the service knows it."""
        return Key(self.name, frozenset(self.roles), bytes.fromhex(self.sha256.get_secret_value()))


def _kind_of_key(value: Any) -> str:
    return "table" if isinstance(value, Mapping | KeySettings) else "text"


class ApiSettings(_Section):
    """`[api]`: the address, and who may ask."""

    host: str = "127.0.0.1"
    """Address that is listened on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port that is listened on, 0 to 65535; 0 for any free one."""
    keys: list[
        Annotated[Annotated[KeySettings, Tag("table")] | Annotated[SecretStr, Tag("text")], Discriminator(_kind_of_key)]
    ] = []
    """Keys that may ask, as `segue keys new` prints them; without keys only loopback addresses are served. A plain text
    of 16 characters or more is a key with every role; from the next release on it is refused."""

    cors_origins: list[str] = []
    """Origins whose pages a browser lets ask: "https://player.example", or "*" for any."""
    receive_timeout_s: float = Field(default=30, gt=0, le=3600)
    """Seconds within which the head of a request must arrive, and again its body, more than 0 and at most 3600."""
    concurrent_requests: int = Field(default=100, ge=1)
    """Requests that each worker answers at once, 1 or more; the others are told to come again."""

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if not re.fullmatch(r"\*|https?://[A-Za-z0-9.\[\]:-]+", origin):
                raise ValueError(
                    f'expected "*", or a scheme and a host as in "https://player.example" (got {origin!r})'
                )
        return origins

    @field_validator("keys")
    @classmethod
    def _long_enough(cls, keys: list[KeySettings | SecretStr]) -> list[KeySettings | SecretStr]:
        for place, key in enumerate(keys, start=1):
            if isinstance(key, SecretStr) and (length := len(key.get_secret_value().strip())) < KEY_LENGTH:
                raise ValueError(f"key {place} has {length} characters (expected at least {KEY_LENGTH})")
        names = [key.name for key in keys if isinstance(key, KeySettings)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two keys are called {twice[0]!r}")
        return keys

    def known_keys(self) -> list[Key]:
        """The keys as the service knows them; one of plain text is called by its place."""
        return [
            key.key()
            if isinstance(key, KeySettings)
            else Key(f"key {place}", frozenset(ROLES), digest(key.get_secret_value().encode()))
            for place, key in enumerate(self.keys, start=1)
        ]

    def plain_keys(self) -> list[int]:
        """The places, from 1, of keys that stand in the settings as plain text."""
        return [place for place, key in enumerate(self.keys, start=1) if isinstance(key, SecretStr)]


class _Variables(EnvSettingsSource):
    """`SEGUE_` variables; values in free tables (a channel's options, say) are typed as TOML would have them."""

    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        return {name: _typed(value) if name in {"scenes", "embed"} else value for name, value in found.items()}


def _typed(value: Any) -> Any:
    """Texts that are JSON as what they say; the environment tells no upper case, which names of relations are in."""
    if isinstance(value, Mapping):
        return {
            key: {name.upper(): _typed(inner) for name, inner in table.items()}
            if key == "gamma" and isinstance(table, Mapping)
            else _typed(table)
            for key, table in value.items()
        }
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


class Settings(BaseSettings):
    """The whole effective configuration."""

    # a wrong value may be a secret: no error repeats it
    model_config = SettingsConfigDict(
        env_prefix="SEGUE_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    state: StateSettings = StateSettings()
    """Where state is kept."""
    graph: GraphSettings = GraphSettings()
    """The graph's store."""
    events: EventSettings = EventSettings()
    """The event log."""
    releases: ReleaseSettings = ReleaseSettings()
    """The releases."""
    privacy: PrivacySettings = PrivacySettings()
    """What is coarsened."""
    scenes: dict[str, SceneSettings] = {}
    """Scenes by their names, which lie over those that ship."""
    embed: dict[str, dict[str, Any]] = {}
    """Models by their names: `enabled` and the model's own options. `update` says when Song2Vec is updated."""
    refresh: RefreshSettings = RefreshSettings()
    """The refresh and its gate."""
    reasons: ReasonSettings = ReasonSettings()
    """What reasons may say."""
    api: ApiSettings = ApiSettings()
    """The REST service."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of all that is drawn, 0 to below 2^31."""
    clock: Literal["wall", "data"] | None = None
    """What now is. "wall": the time of day. "data": the newest event. Unset: what the import of the data chose."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Variables(settings_cls), TomlConfigSettingsSource(settings_cls)

    def graph_config(self) -> GraphConfig:
        """`[graph]` as the store takes it.

        Raises: SettingsError for a value out of range.
        """
        values = self.graph.model_dump().items()
        plain: dict[str, Any] = {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in values}
        try:
            return GraphConfig(**plain)
        except ValueError as error:
            raise SettingsError(f"graph: {error}") from error

    def scene_configs(self) -> dict[str, SceneConfig]:
        """Every scene by its name, those that ship included.

        Raises: SettingsError.
        """
        given = {name: {**table} for name, table in DEFAULT_SCENES.items()}
        for name, scene in self.scenes.items():
            shipped, table = given.get(name, {}), scene.model_dump(exclude_unset=True)
            channels = dict(shipped.get("channels", {}))
            for channel, options in table.get("channels", {}).items():
                channels[channel] = channels.get(channel, {}) | options
            given[name] = shipped | table | {"channels": channels}
        scenes = {name: SceneSettings(**table).config(name) for name, table in given.items()}
        return {name: self._trained(name, scene) for name, scene in scenes.items()}

    def _trained(self, name: str, scene: SceneConfig) -> SceneConfig:
        """The scene without the channels of models that are not trained.

        Raises: SettingsError for such a channel that the settings name, or if none is left.
        """
        from recall.discovery import channel_type

        trained, kept = set(self.enabled_models()), {}
        for channel, use in scene.channels.items():
            missing = sorted(set(channel_type(channel, use.use).vectors) - trained)
            if not missing:
                kept[channel] = use
            elif name in self.scenes and channel in self.scenes[name].channels:
                where = f"scenes.{name}.channels.{channel}"
                raise SettingsError(f"{where} needs the model {missing[0]}: set embed.{missing[0]}.enabled = true")
        if not kept:
            raise SettingsError(f"scenes.{name}: no channel is left without the models that are not enabled")
        return replace(scene, channels=kept)

    def learning(self) -> LearningConfig:
        """What a refresh learns with.

        Raises: SettingsError.
        """
        from ranking.learning import LearningConfig

        refresh = self.refresh
        return LearningConfig(
            refresh.rank_share,
            refresh.measure_share,
            refresh.listeners,
            self.models(),
            self.update(),
            refresh.neighbours_kept,
            self.seed,
        )

    def models(self) -> dict[str, Any]:
        """The configs of the models that a refresh trains, by name.

        Raises: SettingsError for an unknown model or option.
        """
        return {name: model_type(name).configure(self._options(name)) for name in self.enabled_models()}

    def enabled_models(self) -> list[str]:
        """Those that ship enabled, and those that `[embed.NAME] enabled` says.

        Raises: SettingsError for an unknown model, or an `enabled` that is neither true nor false.
        """
        if unknown := sorted(self.embed.keys() - {*model_names(), UPDATE}):
            known = ", ".join(model_names())
            raise SettingsError(f"embed.{unknown[0]}: unknown model (known: {known}; and {UPDATE})")
        usual, found = enabled_by_default(), []
        for name in model_names():
            enabled = self.embed.get(name, {}).get("enabled", name in usual)
            if not isinstance(enabled, bool):
                raise SettingsError(f"embed.{name}.enabled must be true or false (got {enabled!r})")
            if enabled:
                found.append(name)
        return found

    def _options(self, model: str) -> dict[str, Any]:
        return {key: value for key, value in self.embed.get(model, {}).items() if key != "enabled"}

    def check_models(self) -> None:
        """Raises: SettingsError for an unknown model, or an unknown or unusable option of one that is set."""
        self.enabled_models()
        for name in self.embed.keys() - {UPDATE}:
            if options := self._options(name):
                model_type(name).configure(options)
        self.update()

    def update(self) -> UpdateConfig:
        """`[embed.update]`.

        Raises: SettingsError for an unknown option.
        """
        from embeddings.vectors.incremental import UpdateConfig

        return configure(UpdateConfig, self.embed.get(UPDATE, {}), f"embed.{UPDATE}")

    def shown(self) -> dict[str, Any]:
        """Everything with its defaults, secrets hidden, as JSON values."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        for name in ("graph", "events"):
            plain[name]["url"] = _without_password(plain[name]["url"])
        return plain


def settings_file(config: Path | None) -> Path | None:
    """The file that is read: `--config`, else `SEGUE_CONFIG`, else `./segue.toml` if it is there.

    Raises: SettingsError if a named file does not exist.
    """
    named = config or (Path(os.environ["SEGUE_CONFIG"]) if os.environ.get("SEGUE_CONFIG") else None)
    if named is None:
        return Path("segue.toml") if Path("segue.toml").is_file() else None
    if not named.is_file():
        raise SettingsError(f"{named}: no such settings file")
    return named


def load(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; relative paths become relative to the file's folder, else to the working folder.

    `overrides` lie over everything (`{"state": {"dir": ...}}`).
    Raises: SettingsError for an unknown key or an unusable value, naming it.
    """
    file = settings_file(config)
    _refuse_unknown_variables()
    read = type("Settings", (Settings,), {"model_config": SettingsConfigDict(toml_file=file)})
    try:
        settings: Settings = read(**(overrides or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise SettingsError(f"{where}: {first['msg']} (in {file or 'the environment'})") from error
    except (SettingsSourceError, ValueError, OSError) as error:
        raise SettingsError(f"{file or 'environment'}: {error}") from error
    if settings.embed or settings.scenes:  # what ships is in order, and reading it imports every channel
        settings.check_models()
        settings.scene_configs()
    settings.graph_config()
    return _anchored(settings, file.resolve().parent if file else Path.cwd())


def _anchored(settings: Settings, base: Path) -> Settings:
    """With every relative path made absolute from `base`; what names no folder of its own stands in `state.dir`."""
    state = base / settings.state.dir
    given = settings.model_dump(exclude_unset=True)
    graph, events = settings.graph.url, settings.events.url
    if "url" not in given.get("graph", {}):
        graph = f"embedded:{state / 'graph'}"
    elif graph.startswith("embedded:"):
        graph = f"embedded:{base / graph.removeprefix('embedded:')}"
    if "url" not in given.get("events", {}):
        events = f"sqlite:///{state / 'events.db'}"
    elif events.startswith("sqlite:///"):
        events = f"sqlite:///{base / events.removeprefix('sqlite:///')}"
    releases = base / settings.releases.dir if "dir" in given.get("releases", {}) else state / "releases"
    return settings.model_copy(
        update={
            "state": StateSettings(dir=state),
            "graph": settings.graph.model_copy(update={"url": graph}),
            "events": EventSettings(url=events),
            "releases": settings.releases.model_copy(update={"dir": releases}),
        }
    )


def _refuse_unknown_variables() -> None:
    sections = {name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        if variable.startswith("SEGUE_") and variable not in RESERVED:
            section, nested, _ = variable.removeprefix("SEGUE_").partition("__")
            if section.upper() not in sections or (nested and section.upper() in _PLAIN):
                raise SettingsError(f"{variable}: unknown setting (sections: {', '.join(sorted(sections))})")


def _without_password(url: str) -> str:
    """A URL with the password between `:` and `@`, and every one among its parameters, hidden."""
    url = re.sub(r"([?&][^=&]*password=)[^&]*", r"\1***", url)
    scheme, found, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    if not (found and at and ":" in login):
        return url
    return f"{scheme}://{login.split(':', 1)[0]}:***@{host}"
