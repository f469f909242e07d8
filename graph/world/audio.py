"""Audio attributes of songs in 4-second segments: 14 values in (0, 1) each."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from graph.world.catalogue import INSTRUMENTAL, Catalogue, noise
from graph.world.model import AUDIO_ATTRIBUTES, WorldConfig

SEGMENT_MS: Final = 4000
SHARPNESS: Final = 5.0  # how strongly a song's vector shows in its sound


def audio_segments(config: WorldConfig, catalogue: Catalogue, song_ids: pl.Series) -> pl.DataFrame:
    """The `audio_segments` table: up to `config.segments` segments a song, evenly over it.

    value = logistic(SHARPNESS a . song + a trend of the song + noise of the segment) with a fixed direction `a` for
    each attribute; the three about voices also know whether there are words, `clarity` rises with quality.
    """
    rng = np.random.default_rng([config.seed, 2])
    songs, width = len(song_ids), len(AUDIO_ATTRIBUTES)
    level = SHARPNESS * catalogue.song_vec @ noise(rng, width).T
    wordless = catalogue.song_language == INSTRUMENTAL
    level[:, 0] += np.where(wordless, -3.0, -0.5)
    level[:, 1] += np.where(wordless, 2.0, -1.5)
    level[:, 2] += np.where(wordless, -2.0, 1.5)
    level[:, AUDIO_ATTRIBUTES.index("clarity")] *= 0.2
    level[:, AUDIO_ATTRIBUTES.index("clarity")] += 6.0 * (catalogue.song_quality - 0.5)
    level += rng.normal(0.0, 0.3, level.shape)
    trend = rng.normal(0.0, 0.4, (songs, 1, width)) * np.linspace(-1.0, 1.0, config.segments)[:, None]
    raw = level[:, None, :] + trend + rng.normal(0.0, 0.4, (songs, config.segments, width))
    values = (1.0 / (1.0 + np.exp(-raw))).astype(np.float32).reshape(-1, width)
    whole = np.maximum(config.segments, catalogue.song_duration // SEGMENT_MS)
    segment = (np.arange(config.segments) * whole[:, None] // config.segments).ravel()
    song = np.repeat(np.arange(songs), config.segments)
    columns = {name: values[:, i] for i, name in enumerate(AUDIO_ATTRIBUTES)}
    return pl.DataFrame({"song_id": song_ids.gather(song), "segment": segment, **columns})
