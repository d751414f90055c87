"""Where calibrations are kept and found: beside the model's card, as ``calibration.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.errors import BadInput
from forensic.hashes import sha256_bytes
from forensic.registry.card import ModelCard
from forensic.registry.cards import CALIBRATION_FILE
from forensic.resources import models_dir
from forensic.risk.calibration.artefact import MOST_BYTES, Calibration, Subject, parse_calibration
from forensic.risk.head import FILE as HEAD_FILE
from forensic.risk.head import Head, read_head

if TYPE_CHECKING:
    from forensic.stages.stage import Stage

FILE = CALIBRATION_FILE
_VIEWS = {True: "a region (--roi) cut out of a larger recording", False: "whole pictures"}
#: By stage, the parameters that change luma and that the stage itself does not hold to one value.
_OF_STAGE = {
    "learned-upscale": ("consistency", "deadband", "psf_sigma"),
    "refined-fusion": (
        "frames", "psf_sigma", "blur_error", "registration", "largest_shift", "noise", "quantiser",
    ),
}  # fmt: skip


def subject_of(stages: Sequence[Stage[Any]]) -> tuple[Subject, ModelCard] | None:
    """What a calibration of these stages would be about; None where none can be: no learned stage, or others beside it
    than one crop before it, which makes regions of pictures.

    Parameters that change no luma sample beyond float rounding are left out (tiles, colour).
    """
    stages = [stage for stage in stages if not stage.keeps_luma]  # the score is of luma
    region = len(stages) == 2 and stages[0].name == "crop"
    if region:
        stages = stages[1:]
    learned = [stage for stage in stages if stage.model is not None]
    if len(stages) != 1 or len(learned) != 1 or learned[0].name not in _OF_STAGE:
        return None
    stage = learned[0]
    card = stage.model
    if not isinstance(card, ModelCard):
        return None
    if getattr(stage.parameters, "motions", ()):
        return None  # they are those of one recording
    values = _values(stage)
    if values.get("consistency") == 0.0:
        values = {"consistency": 0.0}  # the others do nothing then
    subject = Subject(
        model=card.id,
        weights_sha256=card.weights.sha256,
        precision=card.precision,
        scale=card.scale,
        stage=stage.name,
        parameters=values,
        region=region,
    )
    return subject, card


def _values(stage: Stage[Any]) -> dict[str, float | str]:
    """The parameters that the subject names; one that is not set is left out."""
    given = {name: getattr(stage.parameters, name) for name in _OF_STAGE[stage.name]}
    return {name: one if isinstance(one, str) else float(one) for name, one in given.items() if one is not None}


def shipped_for(stages: Sequence[Stage[Any]]) -> Calibration | None:
    """The calibration shipped for exactly these stages, weights and parameters; None where there is none."""
    return _consulted(stages)[0]


def refused_for(stages: Sequence[Stage[Any]]) -> str | None:
    """Why the calibration that the card of the learned stage names is not used, in words; None where it is, or the
    card names none: then nothing is missing."""
    return _consulted(stages)[1]


def _consulted(stages: Sequence[Stage[Any]]) -> tuple[Calibration | None, str | None]:
    found = subject_of(stages)
    if found is None:
        return None, None
    subject, card = found
    if card.calibration != "calibrated":
        return None, None  # a file that the card knows nothing of is nobody's calibration
    about = f"the card of model {card.id} names a calibration"
    try:
        calibration = read_calibration(card.folder / FILE)
    except BadInput as error:
        return None, f"{about}, and the file beside it is none ({error.message})"
    if calibration is None:
        return None, f"{about}, and there is no {FILE} beside it"
    if calibration.sha256 != card.calibration_sha256:
        return None, (f"{about} with SHA-256 {card.calibration_sha256}, and the one beside it has {calibration.sha256}")
    if calibration.subject == subject:
        return calibration, None
    if calibration.subject.model_copy(update={"region": subject.region}) == subject:
        return None, f"{about} for {_VIEWS[calibration.subject.region]}, and this run maps {_VIEWS[subject.region]}"
    return None, None


def head_of(calibration: Calibration) -> Head:
    """The head that ``calibration`` names, from the folder of its model. Raises ``BadInput`` (``risk.head``)."""
    return read_head(models_dir() / calibration.subject.model / HEAD_FILE, calibration.head_sha256 or "")


def head_for(stages: Sequence[Stage[Any]]) -> Head | None:
    """The head shipped for the learned stage of ``stages``, to make a calibration with; None where there is none.

    Raises ``BadInput`` (``risk.head``) for a file that is there and is none.
    """
    found = subject_of(stages)
    if found is None:
        return None
    path = found[1].folder / HEAD_FILE
    return read_head(path, sha256_bytes(path.read_bytes())) if path.exists() else None


def read_calibration(path: Path) -> Calibration | None:
    """The artefact in the file ``path``, None where there is none. Raises ``BadInput`` (``calibration.invalid``)."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput("calibration.invalid", f"{path.name} cannot be read: {error.strerror}.") from error
    return parse_calibration(data)
