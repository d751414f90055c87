"""What every training in this way keeps: a state that goes on after a stop as if there had been none, and facts."""

from __future__ import annotations

import copy
import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import av
import cv2
import numpy as np
import torch
from torch import Tensor, nn

AVERAGING = 0.998  # exponential moving average of the weights
MOST_GRADIENT = 0.5  # norm
POWER_METER = Path("/sys/class/powercap/intel-rapl:0/energy_uj")

Network = TypeVar("Network", bound=nn.Module)


class State(Generic[Network]):
    """Everything that the next step of a training depends on, and what is told of the steps before.

    ``running``: sum of the losses since the last of ``rows``, the curve. ``seconds``: spent so far, ``wall`` and
    ``cpu``, up to the last :meth:`lap`.
    """

    def __init__(self, network: Network, optimiser: torch.optim.Optimizer, seed: int) -> None:
        self.network, self.average = network, copy.deepcopy(network)
        self.optimiser = optimiser
        self.rng = np.random.default_rng([seed, 0])
        self.step, self.running = 0, 0.0
        self.rows: list[list[float]] = []
        self.seconds = {"wall": 0.0, "cpu": 0.0}
        self.start_watch()

    def learn(self, loss: Tensor) -> None:
        """Take the step that ``loss`` asks for."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MOST_GRADIENT)
        self.optimiser.step()
        decay = min(AVERAGING, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for kept, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(now, 1 - decay)
        self.running += float(loss.detach())
        self.step += 1

    def start_watch(self) -> None:
        """Count time and energy from now on."""
        self._since = time.monotonic() - self.seconds["wall"], time.process_time() - self.seconds["cpu"]
        self._joules = _joules()

    def lap(self) -> None:
        """Note the time spent so far."""
        self.seconds["wall"], self.seconds["cpu"] = (
            time.monotonic() - self._since[0],
            time.process_time() - self._since[1],
        )

    def save(self, path: Path) -> None:
        """Write the state so that a stop at any moment leaves a whole file."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rest": json.dumps([self.rng.bit_generator.state, self.step, self.running, self.rows, self.seconds]),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a state written by :meth:`save`."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state, self.step, self.running, self.rows, self.seconds = json.loads(state["rest"])
        self.start_watch()

    def facts(self, of_the_model: Mapping[str, Any]) -> dict[str, Any]:
        """What ``training.json`` says: of the model first, then of time, energy since the watch's start, software."""
        now = _joules()
        readable = self._joules is not None and now is not None
        return {
            **of_the_model,
            "training_wall_seconds": round(self.seconds["wall"]),
            "training_cpu_seconds": round(self.seconds["cpu"]),
            "energy_joules": round(now - self._joules) if readable else "not readable on this machine",
            "software": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "opencv": cv2.__version__,
                "numpy": np.__version__,
                "av": av.__version__,
                "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            },
        }


def _joules() -> float | None:
    try:
        return int(POWER_METER.read_text()) / 1e6
    except (OSError, ValueError):
        return None
