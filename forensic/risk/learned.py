"""The score ``quantile/1`` of a frame that was measured: features, the head's R, what drives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forensic.errors import InternalError
from forensic.frames.frame import WorkingFrame
from forensic.media.opencv import opencv
from forensic.risk.bootstrap import requantiser
from forensic.risk.calibration import domain
from forensic.risk.calibration.artefact import QUANTILE as LEARNED
from forensic.risk.calibration.artefact import Calibration
from forensic.risk.calibration.judging import judge_before
from forensic.risk.calibration.software import departure
from forensic.risk.clipping import find_clipping
from forensic.risk.dihedral import DIHEDRAL, Dispersion, transforms_for
from forensic.risk.features import CELL, Circumstances, features_of
from forensic.risk.head import QUANTILE, Head, on_output
from forensic.risk.measurement import Measurement
from forensic.risk.noise import estimate_sigma
from forensic.risk.quantiles import LARGEST_UNIT, UNITS_PER_GREY_LEVEL, describe
from forensic.risk.regions import BOOTSTRAP, CONFLICT, DISPERSION, INJECTION

#: A tile is HIGH from here on, unless a caller's thresholds say more: one pixel in twenty may be wrong by this much.
HIGH_FROM = 32.0
NO_ENSEMBLE = "the self-ensemble dispersion, which the score needs, was not measured over all eight transforms"
COMBINATION = (
    f"{QUANTILE:g} quantile of |output - truth| in grey levels, as a network expects it that was fitted on recordings "
    "whose truth is known; what it is worth, the calibration says"
)


def missing(
    reference: WorkingFrame, dispersion: Dispersion | None, pictures: Sequence[str] | None = None
) -> str | None:
    """What the score cannot do without and is not there, in words; None where all is.

    ``pictures``: types that the frame may be of (``Calibration.pictures``); None where it is to be calibrated itself.
    """
    if dispersion is None or dispersion.note is not None:
        return NO_ENSEMBLE
    if dispersion.stray is None:
        return "the equivariant bootstrap, which the score needs, was not made"
    if dispersion.stray.quantiser is None:
        return f"the equivariant bootstrap was not made as it was calibrated: {dispersion.stray.note}"
    if pictures is not None and (why := other_picture(reference, pictures)) is not None:
        return why
    if reference.geometry.layout.family == "rgb":
        return "the score is not defined for RGB"
    return None


def unfit(frame: WorkingFrame, *, learned: bool) -> str | None:
    """Why a score cannot be made of ``frame`` as a calibration needs it, by what the frame is; None where it can.

    ``learned``: the score ``quantile/1``, which codes the picture again at its own quantiser.
    """
    layout = frame.geometry.layout
    if len(transforms_for(layout)) < len(DIHEDRAL):
        return f"{layout.name} subsamples chroma differently across and down: the self-ensemble is not whole"
    if not learned:
        return None
    if layout.family == "rgb":
        return "the score is not defined for RGB"
    quantiser, why = requantiser(frame)
    return why if quantiser is None else None


def other_picture(frame: WorkingFrame, pictures: Sequence[str]) -> str | None:
    """Why the frame is of another kind than all that were calibrated; None if it is not."""
    kind = picture_type(frame)
    if kind in pictures:
        return None
    return f"the frame is of type {kind}: calibrated were {', '.join(pictures)} pictures"


def picture_type(frame: WorkingFrame) -> str:
    """Type of the frame's coded picture (``I``, ``P``, ``B``, ...), ``unknown`` where the bitstream does not say."""
    return "unknown" if frame.coding is None else frame.coding.picture_type or "unknown"


def wanted(calibration: Calibration | None, frame: WorkingFrame) -> bool:
    """Whether the bootstrap of ``frame``, the input of the learned stage, is worth making: there is a calibration of
    this score, and what the input shows does not rule out LOW."""
    if calibration is None or calibration.score != LEARNED or other_picture(frame, calibration.pictures) is not None:
        return False
    if departure(calibration) is not None:
        return False
    opencv()
    y = domain.codes(frame)
    sigma = estimate_sigma(y, find_clipping(frame, y).mask)
    return judge_before(calibration, domain.measured_before(frame, round(sigma, 4))) is None


def learned_score(
    measurement: Measurement, reference: WorkingFrame, dispersion: Dispersion, head: Head
) -> tuple[Measurement, float]:
    """``measurement`` with the head's R as its risk and its contributions as components; the features' distance.

    ``dispersion`` must have all that :func:`missing` asks for. Output sides are even, as the factor is.
    Raises ``InternalError`` (``risk.no-bootstrap``, ``risk.not-finite``).
    """
    stray = dispersion.stray
    if stray is None:
        raise InternalError("risk.no-bootstrap", "The learned score was asked for without its bootstrap.")
    noise = float(measurement.facts["noise_sigma"])
    plain = domain.measured(reference, measurement.conflict, noise)
    known = Circumstances(plain["quantiser"], noise, plain["blur"])
    witnesses = {name: measurement.components[name] for name in (CONFLICT, INJECTION, DISPERSION)}
    witnesses[BOOTSTRAP] = stray.deviation
    planes = features_of(measurement.y, measurement.x, measurement.forward, witnesses, known)
    cells = head.risk(planes)
    risk = on_output(cells)
    facts = {
        **measurement.facts,
        "risk": describe(risk),
        "risk_png": {
            "unit_grey_levels": 1 / UNITS_PER_GREY_LEVEL,
            "clipped_pixels": int(np.count_nonzero(risk * np.float32(UNITS_PER_GREY_LEVEL) > LARGEST_UNIT)),
        },
        "head": {"sha256": head.sha256, "features": list(head.features), "cell_output_px": CELL},
        "bootstrap": {
            **describe(stray.deviation),
            "passes": stray.passes,
            "quantiser": stray.quantiser,
            "note": stray.note,
        },
    }
    drivers = {name: on_output(plane) for name, plane in head.drivers(planes, cells).items()}
    learned = replace(measurement, risk=risk, components=drivers, facts=facts, combination=COMBINATION)
    return learned, head.distance(planes)
