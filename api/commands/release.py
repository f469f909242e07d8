"""`segue release …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api import console
from graph.errors import CorruptRelease, ReleaseNotFound

if TYPE_CHECKING:
    from graph.release import Releases

Id = Annotated[str | None, typer.Argument(help="A release; the current one by default.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Published releases.", no_args_is_help=True)
    group.command("list")(list_)
    for command in (show, diff, verify, rollback, prune):
        group.command()(command)
    app.add_typer(group, name="release")


def _releases() -> Releases:
    from graph.release import Releases

    return Releases(console.settings().releases.dir)


def _wanted(releases: Releases, id_: str | None) -> str:
    wanted = id_ or releases.current()
    if wanted is None:
        raise ReleaseNotFound(f"no release in {releases.root} yet: run `segue refresh`")
    return wanted


def list_(json_: console.Json = False) -> None:
    """All releases, the oldest first."""
    releases = _releases()
    answer: dict[str, Any] = {
        "current": releases.current(),
        "releases": [releases.describe(i) for i in releases.ids()],
    }
    if json_:
        console.print_json(answer)
        return
    rows = [
        ("*" if r["id"] == answer["current"] else "", r["id"], r["metrics"].get("ndcg@10"), r["size_bytes"])
        for r in answer["releases"]
    ]
    console.print_table(["", "release", "ndcg@10", "bytes"], rows)


def show(id_: Id = None, json_: console.Json = False) -> None:
    """The manifest of a release."""
    from graph.release import read_manifest

    releases = _releases()
    manifest = read_manifest(releases.path(_wanted(releases, id_)))
    if json_:
        console.print_json(manifest)
        return
    rows = [(key, value) for key, value in manifest.items() if key not in {"files", "steps"}]
    console.print_table(["", manifest["id"]], rows)


def diff(old: Annotated[str, typer.Argument(help="A release.")], new: Id = None, json_: console.Json = False) -> None:
    """What changed from one release to another."""
    from embeddings.vectors.alignment import drift_of_releases

    releases = _releases()
    answer = releases.diff(old, _wanted(releases, new))
    answer["drift"] = drift_of_releases(releases.open(answer["old"]), releases.open(answer["new"]))
    if json_:
        console.print_json(answer)
        return
    rows = [(part, key, *change) for part in ("counts", "metrics", "settings") for key, change in answer[part].items()]
    for model, found in answer["drift"].items():
        rows += [("drift", f"{model} {what}", None, value) for what, value in found.items()]
    console.print_table(["part", "what", answer["old"], answer["new"]], rows)


def verify(id_: Id = None, json_: console.Json = False) -> None:
    """Read every file of a release and compare it with its checksum."""
    releases = _releases()
    wanted = _wanted(releases, id_)
    wrong = releases.verify(wanted)
    if json_:
        console.print_json({"release": wanted, "ok": not wrong, "problems": wrong})
    elif not wrong:
        console.say(f"{wanted}: every file agrees with its checksum")
    if wrong:
        raise CorruptRelease(f"{wanted}: {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""))


def rollback(id_: Id = None, json_: console.Json = False) -> None:
    """Serve an earlier release again: the one before the current, or the one named."""
    releases = _releases()
    with releases.lock():
        before = releases.current()
        wanted = id_ or releases.previous()
        releases.path(wanted)
        releases.activate(wanted)
    if json_:
        console.print_json({"current": wanted, "before": before})
    else:
        console.say(f"{wanted} is served now (before: {before})")


def prune(
    keep: Annotated[int | None, typer.Option(help="How many of the newest stay.", min=1)] = None,
    json_: console.Json = False,
) -> None:
    """Delete old releases; the current one always stays."""
    releases = _releases()
    with releases.lock():
        gone = releases.prune(keep or console.settings().releases.keep)
    if json_:
        console.print_json({"pruned": gone, "current": releases.current()})
    else:
        console.say(f"{len(gone)} releases deleted")
