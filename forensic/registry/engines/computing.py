"""Where a network of torch is computed, and in which numbers: a choice that creative stages offer, with its own check.

Everything but float32 on the processor gives other bytes. Such a choice is therefore a parameter of the stage, on the
record like every other; and before it is used, the network is computed both ways on a fixed picture and the difference
stated. No torch is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

DEVICES = ("cpu", "cuda")
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Computing:
    """``device`` is one of DEVICES, ``precision`` one of PRECISIONS: of the numbers inside the network.

    Weights are kept in float32 and rounded for each convolution; what comes out is float32.
    """

    device: str = "cpu"
    precision: str = "float32"

    @property
    def usual(self) -> bool:
        """float32 on the processor, as everything that is no illustration is computed."""
        return self == USUAL

    @property
    def engines(self) -> tuple[str, ...]:
        """What this needs of the machine beside the model's own engine."""
        return () if self.device == "cpu" else (self.device,)


USUAL = Computing()


class _Spent:
    """Seconds for which a graphics processor was held by networks of this process; ``alone`` is held meanwhile."""

    def __init__(self) -> None:
        self.alone = Lock()
        self._lock, self._seconds = Lock(), 0.0

    def add(self, seconds: float) -> None:
        """Count ``seconds`` more."""
        with self._lock:
            self._seconds += seconds

    def total(self) -> float:
        """Seconds since the process began."""
        with self._lock:
            return self._seconds


GPU = _Spent()
