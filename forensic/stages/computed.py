"""Stages whose network may be computed on a graphics processor or in shorter numbers: generative ones alone.

What comes out then is another picture than float32 on the processor gives, by a little. So the choice is a parameter,
and before the first frame the network is computed both ways on a fixed picture: the difference is on the record of
every frame, and a large one refuses the run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from forensic.errors import BadInput, InternalError
from forensic.registry.engines.computing import USUAL, Computing
from forensic.stages.learned import RunsModel
from forensic.stages.parameters import parameter

if TYPE_CHECKING:
    from forensic.registry.loading import LoadedModel

MOST_DIFFERENCE, LARGEST_DIFFERENCE = 2.0, 64.0  # grey levels, of the picture of the check: mean, any pixel
_SIDE = 96  # of the picture of the check, at most: larger ones cost more than many a run


Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]


def device_parameter() -> Any:
    """The parameter ``device``: where the network is computed."""
    return parameter(
        "cpu",
        title="Device",
        unit="choice",
        description="The processor, or a graphics processor of NVIDIA's. Bytes repeat on one kind of device alone.",
    )


def precision_parameter() -> Any:
    """The parameter ``precision``: in which numbers the network is computed."""
    return parameter(
        "float32",
        title="Precision",
        unit="choice",
        description="Numbers inside the network; weights are kept and the result is given in float32. Shorter ones are "
        "faster where the device has them, and change the picture a little; by how much is recorded. float16 is for "
        "graphics processors.",
    )


class ComputedAsChosen(RunsModel, ABC):
    """Goes before the stage that it is mixed into, which has the parameters ``device`` and ``precision``."""

    @property
    def computing(self) -> Computing:
        """As the parameters say."""
        chosen = self.parameters  # type: ignore[attr-defined]  # of the stage that this is mixed into
        return Computing(chosen.device, chosen.precision)

    @property
    def engines(self) -> tuple[str, ...]:
        """The model's engine, and the device where it is not the processor."""
        return (self.model.engine, *self.computing.engines)

    def require_here(self) -> None:
        """Refuse what this machine or the model's engine cannot compute, before a run begins. Raises ``UsageError``
        (``model.device-missing``, ``model.precision``)."""
        if not self.computing.usual:
            from forensic.registry.loading import require_computable

            require_computable(self.model, self.computing)

    def varied(self, **values: Any) -> Self:
        """As ever; the loaded model goes along where it is the same and computed alike, its check with another seed."""
        made: Self = super().varied(**values)  # type: ignore[misc]  # of the stage that this is mixed into
        if (made.model.card_sha256, made.computing) == (self.model.card_sha256, self.computing):
            kept = ("_loaded", "_difference") if values.keys() <= {"seed"} else ("_loaded",)
            made.__dict__.update({name: self.__dict__[name] for name in kept if name in self.__dict__})
        return made

    @abstractmethod
    def made_by(self, model: LoadedModel, picture: np.ndarray, frame: int) -> np.ndarray:
        """What ``model`` makes of ``picture``, float32 [3, H, W] of 0 to 1, frame number ``frame``; not clipped."""

    @cached_property
    def _loaded(self) -> LoadedModel:
        from forensic.registry.loading import load_model  # torch is loaded only where it is used

        return load_model(self.model, self.computing)

    @cached_property
    def _difference(self) -> dict[str, Any]:
        """Of the check, for the record; nothing where the network is computed as ever."""
        if self.computing.usual:
            return {}
        from forensic.registry.loading import load_model

        chosen: Any = self.parameters  # type: ignore[attr-defined]
        picture = check_picture(min(_SIDE, chosen.tile + 2 * chosen.overlap))
        usual = self.made_by(load_model(self.model, USUAL), picture, 0)
        apart = 255 * np.abs(self._made(picture, 0) - usual)
        mean, largest = float(apart.mean()), float(apart.max())
        if not (mean <= MOST_DIFFERENCE and largest <= LARGEST_DIFFERENCE):
            raise BadInput(
                "model.computing-differs",
                f"Model {self.model.id} computed in {self.computing.precision} on {self.computing.device} differs from "
                f"float32 on the processor by {mean:.2f} grey levels in the mean of a test picture and by "
                f"{largest:.1f} in one pixel; at most {MOST_DIFFERENCE:g} and {LARGEST_DIFFERENCE:g} are taken for "
                "rounding.",
                "Leave device and precision out. If this is a graphics processor, its driver or memory may be faulty.",
            )
        return {
            "computed": {
                "device": self.computing.device,
                "precision": self.computing.precision,
                "mean_difference": round(mean, 4),
                "largest_difference": round(largest, 4),
            }
        }

    def _made(self, picture: np.ndarray, frame: int) -> np.ndarray:
        """What the loaded model makes of ``picture``. Raises ``BadInput`` (``model.not-finite``) for an overflow."""
        try:
            return self.made_by(self._loaded, picture, frame)
        except InternalError as error:
            if error.code != "model.not-finite" or self.computing.usual:
                raise
            raise BadInput(
                "model.not-finite",
                f"Model {self.model.id} gave numbers that are none, computed in {self.computing.precision} on "
                f"{self.computing.device}.",
                "Use precision float32, or bfloat16, which has float32's range.",
            ) from error

    def prepare(self) -> None:
        """Load, check and compare now rather than at the first frame. Raises as ``load_model`` does, and ``BadInput``
        (``model.computing-differs``)."""
        with self._lock:
            self._difference  # noqa: B018
            self._loaded  # noqa: B018


def check_picture(side: int) -> np.ndarray:
    """The picture of the check, float32 [3, side, side] of 0 to 1: a ramp, squares and noise; the same everywhere."""
    from forensic.registry.counternoise import normal_noise

    rows, columns = np.mgrid[:side, :side]
    ramp = (rows + columns) / (2 * side)
    squares = ((rows // 6 + columns // 6) % 2) * 0.3
    picture = np.stack([ramp, 0.7 * ramp + squares, 1 - ramp]) + 0.05 * normal_noise(0, 0, 0, (3, side, side))
    return np.clip(picture, 0, 1).astype(np.float32)
