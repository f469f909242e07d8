"""Skip-gram on BlogCatalog walks: our inner loop against gensim's own from a `corpus_file`.

p = q = 0.25, 10 walks of 80 nodes, dimension 128, window 10, 5 negatives, 1 epoch, 2 threads, a row for gensim's
learning rate and one for ours. Only training is timed, and writing gensim's file is not. From a file, each of gensim's
W threads lowers the learning rate as if it read the whole, so that it ends at 1 - 1/W of where it began; its end is set
so that it falls to the same as ours. Quality: macro-F1 on half of the nodes, mean of five splits, as in `node2vec`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._peers import THREADS
from benchmarks.node2vec import WALKS, blogcatalog, f1_scores, labels_of
from embeddings.edges import Edges
from embeddings.node2vec import collected
from embeddings.skipgram import SkipGramConfig, WalkCorpus, numbered, train, untrained
from embeddings.walks import Walks

LEARNING_RATES = (0.025, 0.05)
SPLITS = 5
END = 1e-4


def run(learning_rates: tuple[float, ...] = LEARNING_RATES, runs: int = 2) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, one for each learning rate.

    Raises: InvalidInput if the data set or scikit-learn is missing.
    """
    path = blogcatalog()
    edges, labels = Edges.read(path), labels_of(path)
    corpus = WalkCorpus(Walks(edges.graph(), WALKS, seed=1, threads=THREADS))
    tiny = SkipGramConfig(embedding_dim=16)
    train(untrained(corpus.frequencies(), tiny, seed=0), corpus.numbers(), tiny)  # compiles
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "walks.txt"
        file.write_text("".join(" ".join(sentence) + "\n" for sentence in corpus.sentences()))
        for rate in learning_rates:
            found = {"ours": _best(corpus, rate, None, runs), "gensim": _best(corpus, rate, file, 1)}
            scores = {}
            for name, (_, matrix) in found.items():
                kept = collected(corpus, corpus.walks.graph, edges.ids, matrix, corpus.counts > 0, 0.0)
                scores[name] = np.array([f1_scores(kept, labels, split)[0] for split in range(SPLITS)])
            ours, peer = found["ours"][0], found["gensim"][0]
            rows.append(
                {
                    "what": f"{corpus.tokens:,} words, learning rate {rate}",
                    "ours": round(ours, 2),
                    "peer": round(peer, 2),
                    "peer_name": "gensim, corpus_file",
                    "ratio": round(peer / ours, 1),
                    "unit": "s",
                    "ours_quality": "macro-F1 {:.4f} +- {:.4f}".format(scores["ours"].mean(), scores["ours"].std()),
                    "peer_quality": "macro-F1 {:.4f} +- {:.4f}".format(scores["gensim"].mean(), scores["gensim"].std()),
                }
            )
    return rows


def _best(corpus: WalkCorpus, rate: float, file: Path | None, runs: int) -> tuple[float, Any]:
    """The least seconds, and the vectors (N, D); by gensim where there is a file."""
    config = SkipGramConfig(epochs=1, learning_rate=rate)
    seconds = []
    for seed in range(runs):
        model = untrained(corpus.frequencies(), config, seed=seed, workers=THREADS)
        how = {"total_words": corpus.tokens, "epochs": 1, "start_alpha": rate}
        began = time.perf_counter()
        if file is None:
            model.train(corpus.numbers(), end_alpha=END, **how)
        else:
            model.train(corpus_file=str(file), end_alpha=rate - THREADS * (rate - END), **how)
        seconds.append(time.perf_counter() - began)
    return min(seconds), numbered(model, model.wv.vectors, len(corpus.counts))
