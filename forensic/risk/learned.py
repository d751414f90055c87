"""The score ``quantile/2`` of a frame that was measured: features, the head's R, what drives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forensic.frames.frame import WorkingFrame
from forensic.fusion.options import SplitHalves
from forensic.risk.calibration import domain
from forensic.risk.dihedral import DIHEDRAL, transforms_for
from forensic.risk.features import CELL, Circumstances, features_of
from forensic.risk.head import QUANTILE, Head, on_output
from forensic.risk.measurement import Measurement
from forensic.risk.quantiles import LARGEST_UNIT, UNITS_PER_GREY_LEVEL, describe
from forensic.risk.regions import CONFLICT, FRAMES, INJECTION

#: A tile is HIGH from here on, unless a caller's thresholds say more: one pixel in twenty may be wrong by this much.
HIGH_FROM = 32.0
NOT_RGB = "the score is not defined for RGB"
NO_ENSEMBLE = "the self-ensemble dispersion, which the score needs, was not measured over all eight transforms"
COMBINATION = (
    f"{QUANTILE:g} quantile of |output - truth| in grey levels, as a network expects it that was fitted on recordings "
    "whose truth is known, but never below {least}; what it is worth, the calibration says"
)

_NEVER_BELOW = {CONFLICT: "the range conflict", FRAMES: "what the halves of the frames disagree by"}


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


def learned_score(measurement: Measurement, reference: WorkingFrame, head: Head) -> tuple[Measurement, float]:
    """``measurement`` with the head's R as its risk and its contributions as components; the features' distance.

    R is never below what the recording itself (range conflict) or halves of the frames speak against. Raises
    ``InternalError`` (``risk.not-finite``).
    """
    noise = float(measurement.facts["noise_sigma"])
    plain = domain.measured(reference, measurement.conflict, noise)
    known = Circumstances(plain["quantiser"], noise, plain["blur"])
    injection = measurement.components[INJECTION]
    planes = features_of(measurement.y, measurement.x, measurement.forward, injection, known)
    cells = head.risk(planes)
    shape = measurement.risk.shape
    expected = on_output(cells, shape)
    witnesses = {name: measurement.components[name] for name in (CONFLICT, FRAMES) if name in measurement.components}
    risk = np.maximum.reduce([expected, *witnesses.values()])
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
    # By how much R lies above what the head expects, because of it.
    drivers |= {name: np.maximum(plane - expected, np.float32(0.0)) for name, plane in witnesses.items()}
    combination = COMBINATION.format(least=" or ".join(_NEVER_BELOW[name] for name in witnesses))
    learned = replace(measurement, risk=risk, components=drivers, facts=facts, combination=combination)
    return learned, head.distance(planes)
