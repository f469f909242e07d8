"""`segue users …`: what is held of a listener, and what one will not hear."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api import console
from graph.errors import InvalidInput

User = Annotated[str, typer.Argument(help="The listener's id.")]
Song = Annotated[str | None, typer.Option(help="A song's id.")]
Artist = Annotated[str | None, typer.Option(help="An artist's id.")]
Tag = Annotated[str | None, typer.Option(help="A tag's id.")]
Genre = Annotated[str | None, typer.Option(help="A genre's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="What is held of a listener, and what one will not hear.", no_args_is_help=True)
    for command in (export, erase, block, unblock):
        group.command()(command)
    app.add_typer(group, name="users")


def export(user: User) -> None:
    """Print all that is held of a listener, as JSON."""
    from graph.personal import exported

    settings = console.settings()
    with console.graph_store(settings) as store, console.event_log(settings) as log:
        console.print_json(exported(store, log, user))


def erase(
    user: User,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: console.Json = False,
) -> None:
    """Forget everything of a listener: graph, events, exposures, and what was learned with the next refresh."""
    from graph.personal import erase as forget_everything

    if not yes:
        typer.confirm(f"Erase everything of {user}?", abort=True, err=True)
    settings = console.settings()
    with console.graph_store(settings) as store, console.event_log(settings) as log:
        report = forget_everything(store, log, user, settings.state.dir)
    if json_:
        console.print_json(report)
    else:
        console.say(f"{user}: {report['events']} events erased; the next refresh learns without them")


def block(
    user: User,
    song: Song = None,
    artist: Artist = None,
    tag: Tag = None,
    genre: Genre = None,
    json_: console.Json = False,
) -> None:
    """Never again a song, or any of an artist, a tag or a genre."""
    _post("block", user, {"Song": song, "Artist": artist, "Tag": tag, "Genre": genre}, json_)


def unblock(
    user: User,
    song: Song = None,
    artist: Artist = None,
    tag: Tag = None,
    genre: Genre = None,
    json_: console.Json = False,
) -> None:
    """Undo a block."""
    _post("unblock", user, {"Song": song, "Artist": artist, "Tag": tag, "Genre": genre}, json_)


def _post(action: str, user: str, named: dict[str, str | None], json_: bool) -> None:
    """Write the event to the log; services hear of it within a second."""
    from graph.log.checks import now_ms

    given = [(label, id_) for label, id_ in named.items() if id_ is not None]
    if len(given) != 1:
        raise InvalidInput(f"expected one of --song, --artist, --tag and --genre, got {len(given)}")
    label, id_ = given[0]
    target = {"song_id": id_} if label == "Song" else {"target_label": label, "target_id": id_}
    event: dict[str, Any] = {"user_id": user, "action": action, "at": now_ms(), **target}
    with console.event_log(console.settings()) as log:
        done = log.append([event])
    if done.rejected:
        raise InvalidInput(done.rejected[0][1])
    if json_:
        console.print_json(event)
    else:
        console.say(f"{user}: {action} {label.lower()} {id_}")
