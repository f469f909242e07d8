"""Skip-gram on BlogCatalog walks: our inner loop against gensim's own from a `corpus_file`.

p = q = 0.25, 10 walks of 80 nodes, dimension 128, window 10, 5 negatives, 1 epoch, 2 threads. Only training is timed,
and writing gensim's file is not; ours and gensim take turns, seed by seed. From a file, each of gensim's W threads
lowers the learning rate as if it read the whole, so that it ends at 1 - 1/W of where it began. So there are two rows:
both at our rate, with gensim's end set so that both fall alike; and gensim as it stands, at its own rate. Ours is the
best of .035, .05 and .07 on seeds 11 to 13 and splits 100 to 102. Quality: macro-F1 on half of the nodes as in
`node2vec`, the mean over five splits, +- its standard deviation over the seeds; for a difference, the standard error of
the paired one.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._peers import THREADS
from benchmarks.node2vec import SPLITS, WALKS, blogcatalog, f1_scores, labels_of
from embeddings.skipgram.corpus import WalkCorpus
from embeddings.skipgram.edges import Edges
from embeddings.skipgram.node2vec import collected
from embeddings.skipgram.skipgram import SkipGramConfig, numbered, train, untrained
from embeddings.skipgram.walks import Walks

RATE = 0.035
PEERS = {"gensim, falling as ours": (RATE, RATE - THREADS * (RATE - 1e-4)), "gensim as it stands": (0.025, 1e-4)}


def run(seeds: tuple[int, ...] = (0, 1, 2, 3, 4)) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if the data set or scikit-learn is missing.
    """
    path = blogcatalog()
    edges, labels = Edges.read(path), labels_of(path)
    corpus = WalkCorpus(Walks(edges.graph(), WALKS, seed=1, threads=THREADS))
    tiny = SkipGramConfig(embedding_dim=16)
    train(untrained(corpus.frequencies(), tiny, seed=0), corpus.numbers(), tiny)  # compiles

    def scored(seed: int, start: float, end: float, file: Path | None) -> tuple[float, float]:
        seconds, matrix = _trained(corpus, seed, start, end, file)
        kept = collected(corpus, corpus.walks.graph, edges.ids, matrix, corpus.counts > 0, 0.0)
        return seconds, float(np.mean([f1_scores(kept, labels, split)[0] for split in range(SPLITS)]))

    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", *PEERS)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "walks.txt"
        file.write_text("".join(" ".join(sentence) + "\n" for sentence in corpus.sentences()))
        for seed in seeds:
            found["ours"].append(scored(seed, RATE, 1e-4, None))
            for name, (start, end) in PEERS.items():
                found[name].append(scored(seed, start, end, file))
    return [_row(corpus.tokens, np.array(found["ours"]).T, name, np.array(found[name]).T) for name in PEERS]


def _trained(corpus: WalkCorpus, seed: int, start: float, end: float, file: Path | None) -> tuple[float, Any]:
    """Seconds and vectors (N, D); by gensim's own loop where there is a file."""
    config = SkipGramConfig(epochs=1, learning_rate=start)
    model = untrained(corpus.frequencies(), config, seed=seed, workers=THREADS)
    what = {"corpus_iterable": corpus.numbers()} if file is None else {"corpus_file": str(file)}
    began = time.perf_counter()
    model.train(**what, total_words=corpus.tokens, epochs=1, start_alpha=start, end_alpha=end)
    return time.perf_counter() - began, numbered(model, model.wv.vectors, len(corpus.counts))


def _row(words: int, ours: Any, name: str, theirs: Any) -> dict[str, Any]:
    (seconds, scores), (their_seconds, their_scores) = ours, theirs
    gained = scores - their_scores
    error = gained.std(ddof=1) / np.sqrt(len(gained)) if len(gained) > 1 else 0.0
    return {
        "what": f"{words:,} words",
        "ours": round(float(seconds.min()), 2),
        "peer": round(float(their_seconds.min()), 2),
        "peer_name": name,
        "ratio": round(float(their_seconds.min() / seconds.min()), 1),
        "unit": "s",
        "ours_quality": f"macro-F1 {scores.mean():.4f} +- {scores.std():.4f}, {gained.mean():+.4f} +- {error:.4f}",
        "peer_quality": f"macro-F1 {their_scores.mean():.4f} +- {their_scores.std():.4f}",
    }
