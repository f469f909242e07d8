"""Channels by name: the files of `recall/channels/`, one for each model, and classes from outside."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embeddings import models
from graph.configure import configure
from graph.errors import SettingsError
from graph.release import Release
from recall.base import Channel
from recall.model_channel import ModelChannelConfig, channel_of


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
    package = importlib.import_module("recall.channels")
    files = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")}
    return sorted(files | set(models.model_names()))


def channel_type(name: str, use: str | None = None) -> ChannelType:
    """The channel of that name: a file of `recall/channels/`, a model, or `use` = "package.module:Class" from outside.

    Raises: SettingsError if there is none.
    """
    if use is not None:
        module_name, _, class_name = use.partition(":")
    else:
        if name not in channel_names():
            raise SettingsError(f"unknown channel {name!r} (known: {', '.join(channel_names())})")
        module_name, class_name = f"recall.channels.{name}", ""
        if importlib.util.find_spec(module_name) is None:
            return ChannelType(name, channel_of(name), ModelChannelConfig)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a file from outside does when it is imported
        raise SettingsError(f"channel {name!r}: cannot import {module_name} ({error})") from error
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "recall")
    ]
    if class_name:
        found = [value for value in found if value.__name__ == class_name]
    if len(found) != 1:
        raise SettingsError(f"channel {name!r}: {module_name} must hold one class with `recall` (found {len(found)})")
    config = getattr(sys.modules[found[0].__module__], f"{found[0].__name__}Config", None)
    if config is None:
        raise SettingsError(f"channel {name!r}: {module_name} has no {found[0].__name__}Config")
    return ChannelType(name, found[0], config)
