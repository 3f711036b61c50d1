"""The simplex of Nelder and Mead (1965): the lowest point of a function of a few numbers, without its slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEP: Final = 0.5
FARTHEST: Final = 12.0
"""No coordinate goes beyond: what is sought are logarithms, and some likelihoods have no end."""


def lowest(of: Callable[[Floats], float], start: Floats, *, rounds: int = 400, near: float = 1e-7) -> Floats:
    """Ends where the corners' values are as near as that, or after so many rounds."""

    def height(point: Floats) -> float:
        value = of(np.clip(point, -FARTHEST, FARTHEST))
        return value if np.isfinite(value) else float("inf")

    corners = np.vstack([start, start + STEP * np.eye(len(start))])
    heights = np.array([height(each) for each in corners])
    for _ in range(rounds):
        order = np.argsort(heights, kind="stable")
        corners, heights = corners[order], heights[order]
        if heights[-1] - heights[0] < near:
            break
        middle, worst = corners[:-1].mean(axis=0), corners[-1]
        factor, found = 1.0, height(2 * middle - worst)
        if found < heights[0]:
            farther = height(3 * middle - 2 * worst)
            if farther < found:
                factor, found = 2.0, farther
        elif found >= heights[-2]:
            factor = 0.5 if found < heights[-1] else -0.5
            found = height(middle + factor * (middle - worst))
        if found < heights[-1]:
            corners[-1], heights[-1] = middle + factor * (middle - worst), found
        else:
            corners[1:] = corners[0] + 0.5 * (corners[1:] - corners[0])
            heights[1:] = [height(each) for each in corners[1:]]
    best: Floats = np.clip(corners[np.argmin(heights)], -FARTHEST, FARTHEST)
    return best
