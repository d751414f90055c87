"""What a run cost: time, processor time, memory, energy. What the machine does not tell is said to be not told.

Processor time is user and system time of this process and of its helpers that have ended (the decoder). Memory is the
largest resident size that this process had since it started. Energy is that of the processor packages as their own
counters tell (RAPL, ``/sys/class/powercap``), of everything that ran on them meanwhile; on most systems only an
administrator may read them. Of a graphics processor the seconds are counted for which it was held by a network of this
process; its energy is not read.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from forensic.registry.engines.computing import GPU

POWERCAP = Path("/sys/class/powercap")
_PACKAGE = "intel-rapl:[0-9]*"
_EVERY_S = 30.0  # a package of 300 W takes some minutes to come round
_MICROJOULES_PER_WH = 3.6e9


@dataclass(frozen=True)
class Cost:
    """Seconds, seconds of processor time, bytes, watt-hours, seconds of a graphics processor; None where the machine
    does not tell."""

    wall_s: float
    processor_s: float
    peak_memory_bytes: int | None
    energy_wh: float | None
    gpu_s: float = 0.0

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "wall_s": round(self.wall_s, 3),
            "processor_s": round(self.processor_s, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
            "energy_wh": None if self.energy_wh is None else round(self.energy_wh, 4),
            "gpu_s": round(self.gpu_s, 3),
        }

    @property
    def sentence(self) -> str:
        """For the person at the terminal."""
        memory = "peak memory not told" if self.peak_memory_bytes is None else f"{mebibytes(self.peak_memory_bytes)}"
        energy = "energy not readable here" if self.energy_wh is None else f"{self.energy_wh:.3g} Wh"
        graphics = f"{seconds(self.gpu_s)} on the graphics processor, " if self.gpu_s else ""
        return f"{seconds(self.wall_s)}, {seconds(self.processor_s)} of processor time, {graphics}{memory}, {energy}"


def mebibytes(count: int) -> str:
    """``count`` bytes in words."""
    return f"{count / (1 << 20):.0f} MiB"


def seconds(value: float) -> str:
    """``value`` seconds in words, two or three figures."""
    if value < 120:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def peak_memory() -> int | None:
    """Largest resident size of this process since it started, in bytes."""
    try:
        import resource
    except ImportError:  # no POSIX
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size << 10


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass
class _Package:
    """The energy counter of one processor package, in microjoules; it comes round at ``size``."""

    file: Path
    size: int
    last: int
    used: int = 0

    def look(self) -> None:
        now = int(self.file.read_text("ascii"))
        self.used += (now - self.last) % self.size
        self.last = now


def _packages(root: Path) -> list[_Package]:
    found = []
    for folder in sorted(root.glob(_PACKAGE)):
        if folder.name.count(":") == 1:  # below a package are its parts, which it counts already
            size = int((folder / "max_energy_range_uj").read_text("ascii")) + 1
            file = folder / "energy_uj"
            found.append(_Package(file, size, int(file.read_text("ascii"))))
    return found


@dataclass
class Meter:
    """Counts from when it is made. Within :func:`metering` it looks at the energy counters before they come round."""

    root: Path = POWERCAP
    _packages: list[_Package] = field(init=False)
    _begun: tuple[float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._begun = time.monotonic(), _processor_s(), GPU.total()
        try:
            self._packages = _packages(self.root)
        except (OSError, ValueError):  # no counters, or not for us
            self._packages = []

    @property
    def reads_energy(self) -> bool:
        """Whether there are counters that we may read."""
        return bool(self._packages)

    def look(self) -> None:
        """Note what the energy counters say; ones that cannot be read any more are given up."""
        try:
            for package in self._packages:
                package.look()
        except (OSError, ValueError):
            self._packages = []

    def cost(self) -> Cost:
        """What it has cost so far."""
        self.look()
        begun, processor, graphics = self._begun
        used = sum(package.used for package in self._packages) / _MICROJOULES_PER_WH if self._packages else None
        return Cost(time.monotonic() - begun, _processor_s() - processor, peak_memory(), used, GPU.total() - graphics)


@contextmanager
def metering(root: Path = POWERCAP) -> Iterator[Meter]:
    """A meter that is looked at every half minute where there is energy to read."""
    meter, done = Meter(root), Event()

    def watch() -> None:
        while not done.wait(_EVERY_S):
            meter.look()

    watcher = Thread(target=watch, name="energy", daemon=True)
    if meter.reads_energy:
        watcher.start()
    try:
        yield meter
    finally:
        done.set()
