"""`segue recommend`, `recall`, `similar` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api import console
from api.gammas import parse_gammas
from graph.errors import InvalidInput

if TYPE_CHECKING:
    from api.recommender import Recommender

Count = Annotated[int, typer.Option("-n", help="How many.", min=1, max=500)]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (recommend, recall, similar, explain):
        app.command()(command)


@contextmanager
def _recommender() -> Iterator[Recommender]:
    from api.recommender import Recommender

    settings = console.settings()
    with console.event_log(settings) as log:
        yield Recommender(settings, log, budgeted=False)


def recommend(
    user: Annotated[str | None, typer.Argument(help="The listener's id; none where there is a --session.")] = None,
    session: Annotated[
        list[str] | None, typer.Option("--session", help="A song just played by somebody unknown; repeat for more.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="A song to leave out; repeat for more.")] = None,
    at: Annotated[str | None, typer.Option(help="The time: ISO 8601, or epoch milliseconds.")] = None,
    latitude: Annotated[float | None, typer.Option(help="Where the listener is, in degrees.", min=-90, max=90)] = None,
    longitude: Annotated[float | None, typer.Option(help="Likewise.", min=-180, max=180)] = None,
    scene: Annotated[str, typer.Option(help="A scene of the settings.")] = "radio",
    n: Annotated[int | None, typer.Option("-n", help="How many songs.", min=1, max=500)] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why, as paths in the graph.")] = False,
    json_: console.Json = False,
) -> None:
    """Songs for a listener, with the channels that found each."""
    from api.recommender import SlateRequest

    with _recommender() as recommender:
        ask = SlateRequest(
            user_id=user,
            session=session or (),
            scene=scene,
            n=n,
            at=None if at is None else _milliseconds(at),
            latitude=latitude,
            longitude=longitude,
            exclude=exclude or (),
            explain=explain,
        )
        answer = recommender.recommend(ask)
    if json_:
        console.print_json(answer)
    else:
        show_slate(answer)


def _milliseconds(text: str) -> int:
    """Epoch milliseconds of a time as people write it; UTC where no zone is named.

    Raises: InvalidInput.
    """
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"--at: expected ISO 8601 or epoch milliseconds, got {text!r}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def show_slate(answer: dict[str, Any]) -> None:
    """A slate as a table: the songs, who found them, and the strongest reason of each."""
    rows = []
    for rank, item in enumerate(answer["items"], start=1):
        found = ", ".join(f"{c['channel']} #{c['rank']}" for c in item["channels"])
        why = "\n".join(reason["text"] for reason in item["reasons"])
        rows.append((rank, item["title"], ", ".join(item["artists"]), item["song_id"], found, why))
    console.print_table(["#", "song", "artists", "id", "found by", "why"], rows)
    if answer.get("note"):
        console.say(f"Note: {answer['note']}")


def recall(
    user: Annotated[str, typer.Argument(help="The listener's id.")],
    channel: Annotated[list[str] | None, typer.Option("--channel", help="Only this one; repeat for more.")] = None,
    k: Annotated[int, typer.Option("-k", help="Candidates a channel.", min=1, max=10_000)] = 10,
    json_: console.Json = False,
) -> None:
    """What each channel proposes, unmerged."""
    with _recommender() as recommender:
        answer = recommender.recall(user, channel or (), k)
    if json_:
        console.print_json(answer)
        return
    rows = [(c["channel"], c["rank"], c["song_id"], c["score"]) for c in answer["candidates"]]
    console.print_table(["channel", "rank", "song", "score"], rows)


def similar(
    song: Annotated[str | None, typer.Argument(help="The song's id.")] = None,
    artist: Annotated[str | None, typer.Option(help="An artist's id, instead of a song.")] = None,
    tag: Annotated[str | None, typer.Option(help="A tag's id, instead of a song.")] = None,
    genre: Annotated[str | None, typer.Option(help="A genre's id, instead of a song.")] = None,
    n: Count = 10,
    by: Annotated[str, typer.Option(help="fusion, attributes, item_knn or a model of the release.")] = "fusion",
    gamma: Annotated[list[str] | None, typer.Option("--gamma", help="RELATION=VALUE; repeat for more.")] = None,
    user: Annotated[str | None, typer.Option(help="Leave out what this listener blocks or dislikes.")] = None,
    json_: console.Json = False,
) -> None:
    """Songs that lie near one, or artists, tags or genres."""
    asked = {"Song": song, "Artist": artist, "Tag": tag, "Genre": genre}
    given = [(label, id_) for label, id_ in asked.items() if id_ is not None]
    if len(given) != 1:
        raise InvalidInput(f"expected one of SONG, --artist, --tag and --genre, got {len(given)}")
    label, id_ = given[0]
    gammas = parse_gammas(gamma or ())
    with _recommender() as recommender:
        if label == "Song":
            answer = recommender.similar(id_, n, by, gammas, user)
        else:
            answer = recommender.similar_entities(label, id_, n, by, gammas, user)
    if json_:
        console.print_json(answer)
        return
    key = f"{label.lower()}_id"
    console.print_table([label.lower(), "score"], [(item[key], item["score"]) for item in answer["items"]])


def explain(
    user: Annotated[str, typer.Argument(help="The listener's id.")],
    song: Annotated[str, typer.Argument(help="The song's id.")],
    without: Annotated[
        str | None, typer.Option(help="TYPE:from:to, a relationship: what would change without it.")
    ] = None,
    json_: console.Json = False,
) -> None:
    """Why a song: the strongest paths from the listener to it."""
    with _recommender() as recommender:
        answer = recommender.explain(user, song, without=without)
    if json_:
        console.print_json(answer)
        return
    rows = [(reason["kind"], reason["score"], reason["text"], reason["cypher"]) for reason in answer["paths"]]
    console.print_table(["kind", "score", "why", "cypher"], rows)
    if without is not None:
        _show_without(answer)


def _show_without(answer: dict[str, Any]) -> None:
    """What becomes of a song without a relationship."""
    place = f"at rank {answer['rank']}" if answer["recommended"] else "no longer" if answer["replaced_by"] else "not"
    lines = [
        f"without {answer['without']}:",
        f"  paths lost: {len(answer['lost'])}",
        f"  still found by a channel: {'yes' if answer['still'] else 'no'}",
        f"  recommended: {place}",
    ]
    if answer["replaced_by"] is not None:
        lines.append(f"  in its place: {answer['replaced_by']}")
    if answer["note"] is not None:
        lines.append(f"  note: {answer['note']}")
    for line in lines:
        console.say(line)
