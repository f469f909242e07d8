"""`segue demo`: the main job end to end on a small world."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from api import console

WORLD = {"users": 500, "songs": 2000, "days": 60, "events": 60_000, "seed": 7}
LISTENERS = 3


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(demo)


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where everything goes.")] = Path("var/demo"),
    json_: console.Json = False,
) -> None:
    """Make a small world, import it, learn from it, publish a release, and recommend."""
    from api.jobs.precompile import meanwhile

    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "segue.toml"
    if not config.exists():
        config.write_text('clock = "data"\n\n[state]\ndir = "."\n', encoding="utf-8")
    console.state.config = config
    with meanwhile():
        answers = _run(folder)
    seconds = round(time.perf_counter() - started, 1)
    if json_:
        console.print_json({"config": str(config), "seconds": seconds, "recommendations": answers})
        return
    for answer in answers:
        console.say(f"\nlistener {answer['user_id']}")
        from api.commands.recommend import show_slate

        show_slate(answer)
    _what_next(config, answers[0], seconds)


def _run(folder: Path) -> list[dict[str, Any]]:
    from api.commands.data import import_source
    from api.jobs.refresh import Refresh
    from api.recommender import Recommender, SlateRequest

    console.warn("a world of 2,000 songs, 500 listeners and 60,000 events, made here and imported")
    import_source("world", folder / "world", options=dict(WORLD))
    settings = console.settings()
    with console.event_log(settings) as log:
        with console.progress() as progress:
            Refresh(settings, log, lambda: console.graph_store(settings), progress).run()
        recommender = Recommender(settings, log, budgeted=False)
        return [
            {"user_id": user, **recommender.recommend(SlateRequest(user_id=user, explain=True))}
            for user in _listeners(recommender)
        ]


def _listeners(recommender: Any) -> list[str]:
    """The first listeners by id who have played and follow enough to show every kind of reason."""
    snapshot = recommender.served.release.snapshot
    follows = snapshot.relation("FOLLOWS")
    chosen = [
        snapshot.ids["User"][user]
        for user in range(snapshot.users)
        if len(follows.of(user)) >= 3 and snapshot.histories.indptr[user + 1] - snapshot.histories.indptr[user] >= 50
    ]
    return (chosen or snapshot.ids["User"].to_list())[:LISTENERS]


def _what_next(config: Path, answer: dict[str, Any], seconds: float) -> None:
    segue = shutil.which("segue") or ".venv/bin/segue"
    command = segue if not segue.startswith("/") else "segue"
    song = answer["items"][0]["song_id"] if answer["items"] else "SONG"
    user = answer["user_id"]
    console.say(f"\nDone in {seconds} s. Serve it (from this folder, with .venv/bin on your PATH):\n")
    console.say(f"  {command} --config {config} serve")
    console.say(
        f'  curl -s localhost:8000/v1/recommend -H "content-type: application/json" -d \'{{"user_id": "{user}"}}\''
    )
    console.say("\nor try:\n")
    for line in (
        f"recommend {user} --explain",
        f"similar {song} --gamma HAS_GENRE=2",
        f"explain {user} {song}",
        "cypher 'MATCH (:Song)-[:PERFORMED_BY]->(a:Artist) RETURN a.name AS artist, count(*) AS songs LIMIT 5'",
    ):
        console.say(f"  {command} --config {config} {line}")
