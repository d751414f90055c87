"""The learned part of the score ``quantile/2``: from feature planes to R, the 0.95 quantile of |x̂ − truth|.

A small convolutional network on cells of 2 x 2 output pixels, fitted with the pinball loss (R. Koenker and G. Bassett,
"Regression quantiles", Econometrica 46, 1978) on recordings whose truth is known. R is what the fit expects, in grey
levels; what is claimed of it is the calibration's business alone (docs/calibration.md). The weights lie beside the
model's card as ``risk.safetensors``; their digest stands in the calibration that was made with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forensic.errors import BadInput, InternalError
from forensic.hashes import sha256_bytes
from forensic.risk.features import CELL, GROUPS

if TYPE_CHECKING:
    import torch

FILE = "risk.safetensors"
SCHEMA = "tag:forensic-tool,2026:risk-head/v1"
QUANTILE = 0.95
MOST_BYTES = 1 << 20
MOST_PARAMETERS = 100_000
DILATIONS = (1, 2, 4)
CONTEXT = sum(DILATIONS)  # cells around a cell that its value depends on
BLOCK = 192  # cells a side that are computed at a time

_REMEDY = "Restore the model's folder from a trusted copy, or install the program again. Until then nothing is LOW."


def network(channels: int, width: int) -> torch.nn.Module:
    """The network: (batch, ``channels``, rows, columns) of features to log(1 + R), (batch, 1, rows, columns).

    Features are standardised with the ``mean`` and ``deviation`` that it carries.
    """
    import torch
    from torch import nn

    from forensic.registry.engines import pytorch  # noqa: F401  sets torch to one thread and fixed kernels

    class Residual(nn.Module):
        def __init__(self, dilation: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.conv(x).relu()

    class Network(nn.Module):
        mean: torch.Tensor
        deviation: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(channels))
            self.register_buffer("deviation", torch.ones(channels))
            self.enter = nn.Conv2d(channels, width, 1)
            self.body = nn.Sequential(*(Residual(dilation) for dilation in DILATIONS))
            self.leave = nn.Conv2d(width, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            standard = (x - self.mean[:, None, None]) / self.deviation[:, None, None]
            return nn.functional.softplus(self.leave(self.body(self.enter(standard).relu())))

    return Network()


def inputs(planes: Mapping[str, np.ndarray], features: tuple[str, ...]) -> np.ndarray:
    """What the network sees: log(1 + v) of every feature, float32 (channels, rows, columns)."""
    return np.stack([np.log1p(planes[name], dtype=np.float32) for name in features])


@dataclass(frozen=True)
class Head:
    """A head ready to run. ``features``: names of the planes that it was fitted on, in order."""

    sha256: str
    features: tuple[str, ...]
    model: torch.nn.Module

    def risk(self, planes: Mapping[str, np.ndarray]) -> np.ndarray:
        """R in grey levels on the grid of cells, float32. ``planes``: features by name on the same grid.

        Computed in blocks that the size alone decides, on one thread: the same planes give the same bytes. Raises
        ``InternalError`` (``risk.not-finite``).
        """
        return self._run(inputs(planes, self.features))

    def drivers(self, planes: Mapping[str, np.ndarray], risk: np.ndarray) -> dict[str, np.ndarray]:
        """By how much R falls, in grey levels on the grid of cells and never below 0, if a group of features takes the
        values that it had on average where the head was fitted (occlusion: M. D. Zeiler and R. Fergus, ECCV 2014)."""
        seen, mean = inputs(planes, self.features), self._buffer("mean")
        found = {}
        for group, members in GROUPS.items():
            places = [self.features.index(name) for name in members if name in self.features]
            if places:
                without = seen.copy()
                without[places] = mean[places, None, None]
                found[group] = np.maximum(risk - self._run(without), np.float32(0.0))
        return found

    def distance(self, planes: Mapping[str, np.ndarray]) -> float:
        """Root mean square, over the features, of the distance of their means over the picture from those that the
        head was fitted on, in standard deviations."""
        seen = inputs(planes, self.features)
        means = seen.mean(axis=(1, 2), dtype=np.float64)
        return float(np.sqrt(np.mean(np.square((means - self._buffer("mean")) / self._buffer("deviation")))))

    def _buffer(self, name: str) -> np.ndarray:
        return np.asarray(getattr(self.model, name).numpy())

    def _run(self, seen: np.ndarray) -> np.ndarray:
        import torch

        rows, columns = seen.shape[1:]
        found = np.empty((rows, columns), np.float32)
        with torch.inference_mode():
            for top in range(0, rows, BLOCK):
                for left in range(0, columns, BLOCK):
                    above, before = max(0, top - CONTEXT), max(0, left - CONTEXT)
                    part = seen[:, above : top + BLOCK + CONTEXT, before : left + BLOCK + CONTEXT]
                    made = self.model(torch.from_numpy(np.ascontiguousarray(part))[None])[0, 0].numpy()
                    made = made[top - above :, left - before :][:BLOCK, :BLOCK]
                    found[top : top + BLOCK, left : left + BLOCK] = made
        risk = np.expm1(found)
        if not np.isfinite(np.sum(risk, dtype=np.float64)):
            raise InternalError("risk.not-finite", "The risk map holds a value that is not a finite number.")
        return risk


def on_output(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A plane of cells at output resolution: of ``shape`` (rows, columns)."""
    return plane.repeat(CELL, axis=0).repeat(CELL, axis=1)[: shape[0], : shape[1]]


def parse_head(data: bytes) -> Head:
    """The head in ``data``, strictly. Raises ``BadInput`` (``risk.head``)."""
    import safetensors
    import safetensors.torch
    import torch

    from forensic.registry.engines import pytorch  # noqa: F401

    if len(data) > MOST_BYTES:
        raise _wrong(f"it is larger than {MOST_BYTES} bytes")
    try:
        state = safetensors.torch.load(data)
        told = _metadata(data)
        features, width = told["features"], told["width"]
        if told["schema"] != SCHEMA or told["quantile"] != QUANTILE or not isinstance(width, int):
            raise ValueError("it is of another kind")
        if not (isinstance(features, list) and features and all(isinstance(name, str) for name in features)):
            raise ValueError("its features are not a list of names")
        known = {name for group in GROUPS.values() for name in group}
        if not known >= set(features):
            raise ValueError(f"it asks for features that this program does not make: {sorted(set(features) - known)}")
        if not 1 <= width <= 128 or len(set(features)) != len(features):
            raise ValueError("its numbers are out of range")
        model = network(len(features), width)
        model.load_state_dict(state, strict=True)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _wrong(" ".join(str(error).split())[:300]) from error
    if any(value.dtype != torch.float32 or not bool(torch.isfinite(value).all()) for value in state.values()):
        raise _wrong("a weight is not a finite float32 number")
    if sum(value.numel() for value in model.parameters()) > MOST_PARAMETERS:
        raise _wrong(f"it has more than {MOST_PARAMETERS} parameters")
    model.eval().requires_grad_(False)
    return Head(sha256_bytes(data), tuple(features), model)


def written(model: torch.nn.Module, features: tuple[str, ...], width: int) -> bytes:
    """The bytes of ``risk.safetensors``."""
    import safetensors.torch

    told = {"schema": SCHEMA, "quantile": QUANTILE, "features": list(features), "width": width}
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    return safetensors.torch.save(state, {"head": json.dumps(told, sort_keys=True)})


def _metadata(data: bytes) -> dict[str, Any]:
    """The facts in the safetensors header (its first eight bytes are its length)."""
    length = int.from_bytes(data[:8], "little")
    told: Any = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["head"])
    if not isinstance(told, dict):
        raise ValueError("its header is not a table")
    return told


def _wrong(why: str) -> BadInput:
    return BadInput("risk.head", f"This is no head of the risk score: {why}.", _REMEDY)


@lru_cache(maxsize=4)
def _parsed(data: bytes) -> Head:
    return parse_head(data)


def read_head(path: Path, sha256: str) -> Head:
    """The head in the file ``path``, whose digest must be ``sha256``.

    Raises ``BadInput`` (``risk.head``) where it is missing, is another, or is none.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput("risk.head", f"The head {path.name} cannot be read: {error.strerror}.", _REMEDY) from error
    if sha256_bytes(data) != sha256:
        raise BadInput(
            "risk.head", f"{path.name} is not the head that the calibration was made with ({sha256[:16]}).", _REMEDY
        )
    return _parsed(data)
