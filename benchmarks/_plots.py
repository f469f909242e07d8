"""Plots of benchmarks, as `docs/` holds them: the same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from graph.errors import InvalidInput

DOCS: Final = Path(__file__).parents[1] / "docs"


def needed() -> None:
    """To be called before the work whose figures are plotted.

    Raises: InvalidInput if matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InvalidInput("needs matplotlib: pip install segue-recommender[bench]") from error


@contextmanager
def plotted(name: str, panels: int = 1, *, size: tuple[float, float] = (7.0, 3.0)) -> Iterator[list[Any]]:
    """The axes of panels side by side, `size` inches in all; at the end they are in `docs/NAME.svg`."""
    needed()
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "segue"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, panels, figsize=size, layout="constrained", squeeze=False)
    try:
        yield list(axes[0])
        figure.savefig(DOCS / f"{name}.svg", metadata={"Date": None})
    finally:
        pyplot.close(figure)


def bars(name: str, panels: Mapping[str, Mapping[str, tuple[float, float]]]) -> None:
    """`docs/NAME.svg`: for each panel a bar for each thing measured, (value, spread)."""
    tallest = max(len(found) for found in panels.values())
    with plotted(name, len(panels), size=(5.5 * len(panels), 1 + 0.3 * tallest)) as axes:
        for panel, (title, found) in zip(axes, panels.items(), strict=True):
            panel.barh(list(found), [value for value, _ in found.values()], xerr=[s for _, s in found.values()])
            panel.invert_yaxis()
            panel.set_title(title, fontsize="medium")
