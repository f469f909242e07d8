"""`segue recall-report`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api import console


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("recall-report")(recall_report)


def recall_report(
    scene: Annotated[str, typer.Option(help="A scene of the settings.")] = "radio",
    k: Annotated[int, typer.Option("-k", help="Length of each channel's own list.", min=1, max=1000)] = 50,
    listeners: Annotated[int, typer.Option(help="How many are asked at most.", min=1)] = 1000,
    json_: console.Json = False,
) -> None:
    """What each channel finds of what listeners loved lately, alone and beside the others, and what it costs."""
    from dataclasses import replace

    from graph.errors import InvalidInput
    from graph.release import Releases
    from ranking.cascade import Cascade
    from ranking.learning import Learner
    from ranking.report import report
    from ranking.scene import unhurried

    settings = console.settings()
    scenes = settings.scene_configs()
    if scene not in scenes:
        raise InvalidInput(f"unknown scene {scene!r} (known: {', '.join(scenes)})")
    release = Releases(settings.releases.dir).open()
    learner = Learner(scenes, replace(settings.learning(), listeners=listeners))
    known, truth, at = learner.measured(release)
    with console.progress() as progress:
        cascade = Cascade(known, unhurried(scenes[scene]), scene)
        found = report(cascade, truth, at, k, lambda done, total: progress("listeners", done, total))
    answer = {"release": release.id, "scene": scene, **found.as_json()}
    if json_:
        console.print_json(answer)
    else:
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    rows = []
    for one in sorted(answer["channels"], key=lambda one: -one["without"]):
        nearest = max(one["overlap"].items(), key=lambda pair: pair[1], default=("", 0.0))
        rows.append(
            (
                one["channel"],
                one["listeners"],
                f"{one['recall']:.4f}",
                f"{one['only']:.4f}",
                f"{one['without']:+.4f}",
                f"{nearest[0]} {nearest[1]:.0%}",
                one["quota"],
                one["ms"]["p50"],
                one["ms"]["p99"],
            )
        )
    title = f"{answer['scene']}: {answer['listeners']} listeners, recall of the pool {answer['pool']:.4f}"
    names = ["channel", "listeners", f"recall@{answer['k']}", "only it", "lost without", "overlaps", "quota"]
    console.print_table([*names, "p50 ms", "p99 ms"], rows, title=title)
