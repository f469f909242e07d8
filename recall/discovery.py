"""Channels by name: the files of `recall/channels/`, one for each model, and classes from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from embeddings import models
from graph.configure import configure
from graph.release import Release
from graph.units import Family, unknown
from recall.base import Channel
from recall.model_channel import ModelChannelConfig, channel_of

CHANNELS: Final = Family("channel", "recall.channels", ("recall",))


@dataclass(frozen=True)
class ChannelType:
    """A channel's class and the class of its config, found by name."""

    name: str
    channel: type[Any]
    config: type[Any]

    @property
    def vectors(self) -> tuple[str, ...]:
        """The models that it looks up."""
        found: tuple[str, ...] = getattr(self.channel, "vectors", ())
        return found

    @property
    def prepares(self) -> bool:
        """Whether it computes something at refresh time."""
        return hasattr(self.channel, "prepare")

    def prepared_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the `options` that `prepare` reads: the class's `prepared_by`, all unless it says so."""
        read = getattr(self.channel, "prepared_by", None)
        return {name: value for name, value in options.items() if read is None or name in read}

    @property
    def remembers(self) -> bool:
        """Whether it holds something of each listener's history."""
        return bool(getattr(self.channel, "remembers", False))

    def build(self, release: Release, options: Mapping[str, Any] | None = None) -> Channel:
        """Make the channel for a release, with the settings' own `options` over the defaults."""
        built: Channel = self.channel(release, self.configure(options))
        return built

    def configure(self, options: Mapping[str, Any] | None = None) -> Any:
        """Its config with `options` over the defaults.

        Raises: SettingsError if an option is unknown or of the wrong type.
        """
        return configure(self.config, options or {}, f"channel {self.name}")


def channel_names() -> list[str]:
    """Names of the channels that ship: the files of `recall/channels/`, and the models."""
    return sorted({*CHANNELS.names(), *models.model_names()})


def channel_type(name: str, use: str | None = None) -> ChannelType:
    """The channel of that name: a file of `recall/channels/`, a model, or `use` = "package.module:Class" from outside.

    Raises: SettingsError if there is none.
    """
    if use is None and name not in CHANNELS.names():
        if name not in models.model_names():
            raise unknown("channel", name, channel_names())
        return ChannelType(name, channel_of(name), ModelChannelConfig)
    found = CHANNELS.unit(name, use)
    return ChannelType(name, found.class_, found.config)
