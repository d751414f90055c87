"""The score ``quantile/2`` of a frame that was measured: features, the head's R, what drives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import WorkingFrame
from forensic.fusion.options import SplitHalves
from forensic.risk.calibration import domain
from forensic.risk.dihedral import DIHEDRAL, transforms_for
from forensic.risk.features import CELL, Circumstances, features_of
from forensic.risk.head import QUANTILE, Head, on_output
from forensic.risk.measurement import Measurement
from forensic.risk.quantiles import LARGEST_UNIT, UNITS_PER_GREY_LEVEL, describe
from forensic.risk.regions import CONFLICT, INJECTION

#: A tile is HIGH from here on, unless a caller's thresholds say more: one pixel in twenty may be wrong by this much.
HIGH_FROM = 32.0
NOT_RGB = "the score is not defined for RGB"
NO_ENSEMBLE = "the self-ensemble dispersion, which the score needs, was not measured over all eight transforms"
COMBINATION = (
    f"{QUANTILE:g} quantile of |output - truth| in grey levels, as a network expects it that was fitted on recordings "
    "whose truth is known, but never below the range conflict; what it is worth, the calibration says"
)


def missing(reference: WorkingFrame, pictures: Sequence[str]) -> str | None:
    """Why the score of this frame is not what was calibrated, in words; None where it is.

    ``pictures``: types that the frame may be of (``Calibration.pictures``).
    """
    if (why := other_picture(reference, pictures)) is not None:
        return why
    return NOT_RGB if reference.geometry.layout.family == "rgb" else None


def unfit(frame: WorkingFrame, *, learned: bool) -> str | None:
    """Why a score cannot be made of ``frame`` as a calibration needs it, by what the frame is; None where it can.

    ``learned``: the score ``quantile/2``.
    """
    layout = frame.geometry.layout
    if frame.coding is not None and frame.coding.fault is not None:
        return frame.coding.fault
    if learned:
        return NOT_RGB if layout.family == "rgb" else None
    if len(transforms_for(layout)) < len(DIHEDRAL):
        return f"{layout.name} subsamples chroma differently across and down: the self-ensemble is not whole"
    return None


def other_picture(frame: WorkingFrame, pictures: Sequence[str]) -> str | None:
    """Why the frame is of another kind than all that were calibrated; None if it is not."""
    if frame.coding is not None and frame.coding.fault is not None:
        return frame.coding.fault
    kind = picture_type(frame)
    if kind in pictures:
        return None
    return f"the frame is of type {kind}: calibrated were {', '.join(pictures)} pictures"


def not_whole(halves: SplitHalves | None, frames: int) -> str | None:
    """Why an output of several frames is not made as those were that were calibrated; None if it is.

    ``halves``: what its stage tells of them; ``frames``: how many it takes where the recording has them.
    """
    if halves is None:
        return "nothing is told of the frames that the picture was made of"
    if (found := len(halves.weights)) != frames:
        return f"the picture was made of {found} frames, as at a recording's ends: calibrated were {frames}"
    return None if halves.halves is not None else f"there is no split-half pair: {halves.why_none}"


def picture_type(frame: WorkingFrame) -> str:
    """Type of the frame's coded picture (``I``, ``P``, ``B``, ...), ``unknown`` where the bitstream does not say."""
    return "unknown" if frame.coding is None else frame.coding.picture_type or "unknown"


def learned_score(
    measurement: Measurement, reference: WorkingFrame, head: Head, halves: SplitHalves | None = None
) -> tuple[Measurement, float]:
    """``measurement`` with the head's R as its risk and its contributions as components; the features' distance.

    ``halves``: of an output of several frames, whole (:func:`not_whole`). Raises ``BadInput`` (``risk.head``) for a
    head that needs what the output does not have, and ``InternalError`` (``risk.not-finite``).
    """
    noise = float(measurement.facts["noise_sigma"])
    plain = domain.measured(reference, measurement.conflict, noise)
    known = Circumstances(plain["quantiser"], noise, plain["blur"])
    injection = measurement.components[INJECTION]
    planes = features_of(measurement.y, measurement.x, measurement.forward, injection, known, halves)
    if lacking := sorted(set(head.features) - planes.keys()):
        raise BadInput(
            "risk.head",
            f"The head asks for {', '.join(lacking)}, which a picture made like this one does not have.",
            "Restore the model's folder from a trusted copy.",
        )
    cells = head.risk(planes)
    shape = measurement.risk.shape
    expected, conflict = on_output(cells, shape), measurement.components[CONFLICT]
    risk = np.maximum(expected, conflict)
    facts = {
        **measurement.facts,
        "risk": describe(risk),
        "risk_png": {
            "unit_grey_levels": 1 / UNITS_PER_GREY_LEVEL,
            "clipped_pixels": int(np.count_nonzero(risk * np.float32(UNITS_PER_GREY_LEVEL) > LARGEST_UNIT)),
        },
        "head": {"sha256": head.sha256, "features": list(head.features), "cell_output_px": CELL},
    }
    drivers = {name: on_output(plane, shape) for name, plane in head.drivers(planes, cells).items()}
    drivers[CONFLICT] = risk - expected  # by how much R would fall without it
    learned = replace(measurement, risk=risk, components=drivers, facts=facts, combination=COMBINATION)
    return learned, head.distance(planes)
