"""`segue embed`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api import console
from api.gammas import parse_gammas
from graph.errors import InvalidInput

if TYPE_CHECKING:
    from embeddings.skipgram.edges import Edges
    from embeddings.skipgram.skipgram import SkipGramConfig
    from embeddings.skipgram.walks import WalkConfig
    from embeddings.vectors.node_vectors import NodeVectors

METHODS: Final = ("node2vec", "deepwalk", "metapath2vec", "eges", "song2vec")
MAX_WORKERS: Final = 1024


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(embed)


def embed(
    method: Annotated[str, typer.Argument(help=f"{', '.join(METHODS[:-1])} or {METHODS[-1]}.")],
    edges: Annotated[Path, typer.Option(help="`source target [weight] [relation]` a line, or a .mat with `network`.")],
    output: Annotated[Path, typer.Option(help="Where gensim's KeyedVectors go; FILE.kv.")],
    p: Annotated[float, typer.Option(help="Return parameter: the larger, the fewer steps back.")] = 1.0,
    q: Annotated[float, typer.Option(help="In-out parameter: the larger, the closer walks stay.")] = 1.0,
    walks: Annotated[int, typer.Option(help="Walks from every node.")] = 10,
    length: Annotated[int, typer.Option(help="Nodes of a walk.")] = 80,
    dim: Annotated[int, typer.Option(help="Numbers of a vector.")] = 128,
    window: Annotated[int, typer.Option(help="How far apart neighbours on a walk may stand.")] = 10,
    negative: Annotated[int, typer.Option(help="Negative samples for every pair.")] = 5,
    epochs: Annotated[int, typer.Option(help="Passes over the walks.")] = 2,
    seed: Annotated[int, typer.Option(help="One seed gives the same walks.")] = 0,
    workers: Annotated[int, typer.Option(help="Threads; with 1 the vectors of a seed are the same too.")] = 1,
    directed: Annotated[bool, typer.Option("--directed", help="Edges lead one way only.")] = False,
    gamma: Annotated[
        list[str] | None,
        typer.Option(
            help="RELATION=VALUE, 1 for those not named; repeat for more. song2vec: weight in the loss; eges: 0 leaves "
            "the relation out; the others: factor of the edges' weights."
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="song2vec, eges: the relation that walks follow; else the edges without a relation."),
    ] = None,
    metapath: Annotated[
        str | None,
        typer.Option(help="metapath2vec: relations, or node types as in the ids (user:17), such as user,song,user."),
    ] = None,
    json_: console.Json = False,
) -> None:
    """Learn a vector for every node of an edge list, and write them as gensim's KeyedVectors."""
    _check_options(method, p=p, q=q, base=base, metapath=metapath, seed=seed, workers=workers)
    gammas = parse_gammas(gamma or [], least=0)
    from embeddings.skipgram.skipgram import SkipGramConfig
    from embeddings.skipgram.walks import WalkConfig
    from embeddings.vectors.node_vectors import replacing

    walking = WalkConfig(p=p, q=q, walks=walks, length=length)
    training = SkipGramConfig(embedding_dim=dim, window=window, negative=negative, epochs=epochs)
    fit = _fit(method, walking, training, gammas, base, metapath)
    with replacing(output) as temporary:  # told at once, not after an hour of training
        found = _run(fit, edges, directed, seed, workers)
        found.write(temporary)
    _show(method, found, output, workers, json_=json_)


def _show(method: str, found: NodeVectors, output: Path, workers: int, *, json_: bool) -> None:
    answer = {
        "method": method,
        "nodes": len(found.ids),
        "edges": found.edges,
        "walks": found.walks,
        "tokens": found.tokens,
        "seconds": {"walks": round(found.walk_s, 3), "train": round(found.train_s, 3)},
        "threads": workers,
        "output": str(output),
    }
    if json_:
        console.print_json(answer)
        return
    console.say(
        f"{method}: {answer['nodes']} vectors of {found.vectors.shape[1]} from {found.edges} edges written to {output}"
    )
    speed = f"{found.walks} walks ({found.tokens} nodes) in {found.walk_s:.1f} s, training {found.train_s:.1f} s"
    console.say(f"{speed}, {workers} thread{'s' * (workers > 1)}")


def _check_options(
    method: str, *, p: float, q: float, base: str | None, metapath: str | None, seed: int, workers: int
) -> None:
    if method not in METHODS:
        raise InvalidInput(f"unknown method {method!r} (known: {', '.join(METHODS)})")
    if seed < 0:
        raise InvalidInput(f"--seed: expected 0 or more, got {seed}")
    if not 1 <= workers <= MAX_WORKERS:
        raise InvalidInput(f"--workers: expected 1 to {MAX_WORKERS}, got {workers}")
    if method in {"deepwalk", "metapath2vec"} and (p, q) != (1, 1):
        raise InvalidInput(f"--p, --q: {method} walks by weight alone, as p = q = 1 (got p {p}, q {q})")
    if metapath is not None and method != "metapath2vec":
        raise InvalidInput(f"--metapath: {method} follows none, metapath2vec does")
    if base is not None and method not in {"song2vec", "eges"}:
        raise InvalidInput(f"--base: {method} walks on all edges, song2vec and eges on those of one relation")


Fit = Callable[..., "NodeVectors"]


def _fit(
    method: str,
    walks: WalkConfig,
    training: SkipGramConfig,
    gamma: dict[str, float],
    base: str | None,
    metapath: str | None,
) -> Fit:
    """What learns from edges by this method; called with the edges, `rng`, `workers` and `progress`.

    Raises: InvalidInput for a gamma that the method has no use for.
    """
    if method == "song2vec":
        from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig

        config = Song2VecConfig.of_skipgram(training, gamma)
        return lambda edges, **how: Song2Vec.fit_edges(edges, config, walks, base=base, **how)
    if method == "eges":
        from dataclasses import replace

        from embeddings.skipgram.eges import EGES, EGESConfig

        if set(gamma.values()) - {0.0, 1.0}:
            raise InvalidInput("--gamma: eges learns the weight of a relation itself, 0 leaves it out and 1 keeps it")
        plain = EGESConfig()
        skipgram = replace(training, learning_rate=plain.skipgram.learning_rate)
        without = tuple(name for name, value in gamma.items() if value == 0)
        side = replace(plain, walks=walks, skipgram=skipgram, base=base, without=without)
        return lambda edges, **how: EGES.fit_edges(edges, side, **how)
    if method == "metapath2vec":
        from embeddings.skipgram.metapath2vec import Metapath2Vec, Metapath2VecConfig

        path = tuple(name.strip() for name in metapath.split(",")) if metapath is not None else ()
        along = Metapath2VecConfig(path, walks, training, gamma)
        return lambda edges, **how: Metapath2Vec.fit_edges(edges, along, **how)
    from embeddings.skipgram.node2vec import Node2Vec, Node2VecConfig

    return lambda edges, **how: Node2Vec.fit_edges(edges, Node2VecConfig(walks, training, gamma), **how)


def _run(fit: Fit, path: Path, directed: bool, seed: int, workers: int) -> NodeVectors:
    import numpy as np

    from embeddings.skipgram.edges import Edges

    with console.progress() as progress:
        edges: Edges = Edges.read(path, directed=directed)
        how: dict[str, Any] = {"rng": np.random.default_rng(seed), "workers": workers, "progress": progress}
        return fit(edges, **how)
