"""`segue bench`: ours and a peer in one run, time and quality in one table."""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from api import console
from graph.errors import InvalidInput

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
COLUMNS = ("what", "ours", "peer", "peer_name", "ratio", "unit", "ours_quality", "peer_quality")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(bench)


def bench(
    name: Annotated[str | None, typer.Argument(help="A benchmark; --list names them.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Name all benchmarks.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the JSON there too.")] = None,
    json_: console.Json = False,
) -> None:
    """Run one of benchmarks/."""
    known = names()
    if list_ or name is None:
        if json_:
            console.print_json({"benchmarks": [{"name": n, "about": about(n)} for n in known]})
        else:
            console.print_table(["name", "about"], [(n, about(n)) for n in known])
        return
    if name not in known:
        raise InvalidInput(f"unknown benchmark {name!r} (known: {', '.join(known) or 'none'})")
    with console.progress() as progress:
        progress(name, 0, 1)
        report = run(name)
        progress(name, 1, 1)
    if output is not None:
        output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if json_:
        console.print_json(report)
    else:
        console.print_table(COLUMNS, [[row.get(c) for c in COLUMNS] for row in report["rows"]], title=name)


def names() -> list[str]:
    """Names of the benchmarks: the files of `benchmarks/`, with `-` for `_`."""
    return sorted(p.stem.replace("_", "-") for p in FOLDER.glob("*.py") if not p.name.startswith("_"))


def about(name: str) -> str:
    """The first line of a benchmark's docstring."""
    import ast

    tree = ast.parse((FOLDER / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def run(name: str) -> dict[str, Any]:
    """Run one; its rows with the machine and the versions they were measured on."""
    rows = module(name).run()
    return {"name": name, "rows": rows, "machine": _machine(), "versions": _versions()}


def module(name: str) -> ModuleType:
    """A benchmark's code."""
    path = FOLDER / f"{name.replace('-', '_')}.py"
    spec = importlib.util.spec_from_file_location(f"benchmarks.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path} cannot be loaded")
    sys.path.insert(0, str(FOLDER.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def _machine() -> dict[str, Any]:
    import os

    return {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "system": platform.system()}


def _versions() -> dict[str, str]:
    stores = {"neo4j", "arcadedb-embedded"}
    learning = {"numpy", "scipy", "numba", "gensim", "torch", "torch-geometric", "networkx", "polars"}
    peers = {"ensmallen", "hnswlib", "implicit", "pecanpy", "scikit-learn", "scikit-network", "torch-sparse", "usearch"}
    wanted = stores | learning | peers
    found = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"] in wanted}
    return {"python": platform.python_version(), **dict(sorted(found.items()))}
