"""The engine of a model: what turns a padded luma plane, or a picture of R'G'B', into the enlarged one."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Engine(Protocol):
    """A network ready to run. A call uses one thread, the caller's; calls may come from several threads."""

    @property
    def parameters(self) -> int:
        """Trained numbers that the file holds."""
        ...

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, each way."""
        ...

    @property
    def radius(self) -> int | None:
        """Receptive field: input pixels on each side that an output pixel can depend on.

        None if it can depend on all that the network is given; then ``context`` is 0 and ``alignment`` 1.
        """
        ...

    @property
    def alignment(self) -> int:
        """Planes and tiles begin, and H and W below are, at multiples of this many pixels (1 to 16)."""
        ...

    @property
    def context(self) -> int:
        """Pixels that a call takes from each side: at most ``radius``, as pixels lie inside an aligned place."""
        ...

    def run(self, padded: np.ndarray) -> np.ndarray:
        """Map float32 [H + 2*context, W + 2*context], grey levels, to float32 [scale*H, scale*W], not clipped.

        An engine of a model of R'G'B' maps float32 [3, H, W], 0 to 1, to [3, scale*H, scale*W], not clipped.
        The same plane gives the same bytes, whatever ran before and whatever runs beside it.
        """
        ...
