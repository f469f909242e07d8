"""A synthetic music world with known truth: `generate` writes it, `World` steps it; the specification is `model`."""

from graph.world.closed_loop import DayResult, World
from graph.world.model import AUDIO_ATTRIBUTES, Behaviour, WorldConfig
from graph.world.write import exists, generate

__all__ = ["AUDIO_ATTRIBUTES", "Behaviour", "DayResult", "World", "WorldConfig", "exists", "generate"]
