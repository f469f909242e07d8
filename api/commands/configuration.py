"""`segue settings`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from api import console


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("settings")(settings)


def settings(json_: console.Json = False) -> None:
    """The whole effective configuration, secrets hidden."""
    effective = console.settings()
    shown = effective.shown()
    shown["scenes"] = {name: asdict(scene) for name, scene in effective.scene_configs().items()}
    shown["embed"] = {
        **{name: {"enabled": True, **asdict(config)} for name, config in effective.models().items()},
        "update": asdict(effective.update()),
    }
    if json_:
        console.print_json(shown)
        return
    rows = []
    for section, value in shown.items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        rows += [(f"{section}.{key}".rstrip("."), entry) for key, entry in entries]
    console.print_table(["setting", "value"], rows)
