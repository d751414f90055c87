"""Recordings whose truth is known: the scenes of a condition, through the degradation simulator."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from forensic.errors import BadInput, ForensicError
from forensic.hashes import sha256_bytes
from forensic.simulation.degradation import Codec, Degradation, Motion, Optics, Recorder, Sampling, Sensor
from forensic.simulation.simulator import Recording, cropped_to_fit, simulate
from forensic.validation.scenes import Picture, drawn
from forensic.validation.suite import OWN, Condition

MARGIN = 20  # scene pixels that may move into view
_PARTS = {"optics": Optics, "sampling": Sampling, "sensor": Sensor, "recorder": Recorder, "codec": Codec,
          "motion": Motion}  # fmt: skip


@dataclass(frozen=True)
class Simulated:
    """A recording of one scene under one condition. ``scene``: its name in results."""

    condition: str
    scene: str
    seed: int
    recording: Recording

    @property
    def file(self) -> bytes:
        """As an exporting recorder would write it (Matroska)."""
        return self.recording.file("matroska")

    def to_record(self) -> dict[str, object]:
        """JSON-able: enough to make it again and to see whether another machine made the same."""
        made = self.recording
        return {
            "condition": self.condition,
            "scene": self.scene,
            "seed": self.seed,
            "frames": len(made.frames),
            "size": [made.frames[0].shape[1], made.frames[0].shape[0]],
            "scene_sha256": made.scene_sha256,
            "stream_sha256": sha256_bytes(made.stream),
            "decoded_sha256": made.sha256,
        }


def degradation_of(condition: Condition) -> Degradation:
    """The simulator's parameters that ``condition`` states, all others at rest; a codec must be named.

    Raises ``BadInput`` (``suite.invalid``) for parts, parameters or values that the simulator does not know.
    """
    stated = condition.degradation
    strange = stated.keys() - _PARTS.keys()
    if strange or stated.get("codec", {}).get("name", "none") == "none":
        what = f"unknown part {sorted(strange)}" if strange else "no codec is named, so there is no file to acquire"
        raise BadInput("suite.invalid", f"Condition {condition.id}: {what}.")
    try:
        parts = {name: _PARTS[name](**values) for name, values in stated.items()}
        return Degradation(**parts, profile=f"validation {condition.id}")
    except TypeError as error:
        raise BadInput("suite.invalid", f"Condition {condition.id}: {error}.") from error
    except ForensicError as error:
        raise BadInput("suite.invalid", f"Condition {condition.id}: {error.message}") from error


def recordings(condition: Condition, pictures: Sequence[Picture] = ()) -> Iterator[Simulated]:
    """The recordings of ``condition``, scene by scene; of own ``pictures`` as many as there are, at most ``scenes``.

    Raises ``BadInput`` (``suite.invalid``, ``validation.scene``) and what the simulator raises.
    """
    how = degradation_of(condition)
    width, height = (side + 2 * MARGIN for side in condition.size)
    count = min(condition.scenes, len(pictures)) if condition.scene == OWN else condition.scenes
    for number in range(count):
        seed = condition.first_seed + number
        if condition.scene == OWN:
            name, scene = pictures[number].name, pictures[number].middle(height, width)
        else:
            name, scene = f"{condition.scene} {seed}", drawn(condition.scene, height, width, seed)
        made = simulate(cropped_to_fit(scene, how, MARGIN), how, condition.frames, seed, margin=MARGIN)
        yield Simulated(condition.id, name, seed, made)


def require_sizes(conditions: Iterable[Condition], pictures: Sequence[Picture]) -> None:
    """Whether every picture is as large as the conditions that take own ones need.

    Raises ``BadInput`` (``validation.scene``), which names those that are not: before anything is registered, as a
    requirement would fail of it later.
    """
    for condition in conditions:
        if condition.scene != OWN:
            continue
        width, height = (side + 2 * MARGIN for side in condition.size)
        small = [one.name for one in pictures if one.luma.shape[0] < height or one.luma.shape[1] < width]
        if small:
            raise BadInput(
                "validation.scene",
                f"{len(small)} of {len(pictures)} pictures are smaller than {width}x{height}, which condition "
                f"{condition.id} needs: {', '.join(small[:5])}{', ...' if len(small) > 5 else ''}.",
                "Leave them out, or turn those that are only too narrow.",
            )


def known_shifts(recording: Recording) -> np.ndarray:
    """Where the picture's middle went from the reference frame, recorded pixels: float64 (frames, 2), (x, y)."""
    rows, columns = recording.frames[0].shape
    middle = np.array([(columns - 1) / 2.0, (rows - 1) / 2.0, 1.0])
    moved = recording.low_resolution_homographies() @ middle
    return np.asarray(moved[:, :2] / moved[:, 2:] - middle[:2])


def known_width(recording: Recording) -> float:
    """Standard deviation of the blur in recorded pixels, the pixel's own aperture included; Gaussian optics only."""
    optics = recording.degradation.optics
    if optics.kind != "gaussian" or optics.sigma_x != optics.sigma_y:
        raise BadInput("suite.invalid", f"The width of blur {json.dumps(optics.kind)} is not one number.")
    return float(np.sqrt(optics.sigma_x**2 + 1.0 / 12.0))
