"""From the table of a model's calibration recordings to the artefact beside its card; anyone can do it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from forensic import __version__
from forensic.registry.cards import load_card
from forensic.resources import models_dir
from forensic.risk.calibration import artefact
from forensic.risk.calibration.fitting import calibration_of
from forensic.risk.calibration.shelf import FILE, head_for, read_calibration, subject_of
from forensic.risk.calibration.strata import Group
from forensic.risk.calibration.table import recording_of
from forensic.simulation.degradation import VERSION
from forensic.stages.recipe import load_recipe
from tests.calibration import scenes
from tests.calibration.recordings import SIZES, STRATA
from tests.calibration.rows import read

CLASS = (
    "One region of one frame of a simulated recording of a photograph of the set BSDS500 (train and val) among others: "
    "a region of 48 to 112 by 40 to 72 pixels (or turned), wherever it lies, of a recorded frame of {frames}; "
    "{sampling} after Gaussian lens blur of 0.2 to 0.7 recorded pixels (uniform), shot "
    "noise of variance 0 to 0.04 per grey level and read noise of 0.5 to 2 grey levels (uniform), a camera that stands "
    "still or (as often) shakes by 0.5 recorded pixels, no moving objects, no sharpening by the camera, full range or "
    "(as often) limited range, 9 frames of H.264 (x264, preset medium, one intra picture, no B pictures) of which the "
    "middle one is mapped{several}; 8 bits, luma. Real footage is not in this class as such."
)
_SAMPLING = {1: "no sampling", 2: "area sampling by two", 4: "area sampling by four"}


def class_of(subject: artefact.Subject) -> str:
    """What the recordings are that ``subject`` was calibrated on, in words."""
    scale, several = subject.scale, "" if subject.frames is None else f", of all {subject.frames} the picture is made"
    sizes = [f"{columns // scale} by {rows // scale}" for columns, rows in SIZES]
    listed = f"{', '.join(sizes[:-1])} or {sizes[-1]}"
    return CLASS.format(frames=listed, sampling=_SAMPLING[scale], several=several)


def groups(rows: Sequence[Mapping[str, str]]) -> list[Group]:
    """Every stratum's recordings; a scene that gave none there is left out (the class is defined by the quantiser)."""
    made = [row for row in rows if row["pixels"]]
    return [
        Group(one.name, one.above, one.up_to, [recording_of(row) for row in made if row["stratum"] == one.name])
        for one in STRATA
    ]


def made(recipe: str, model: str) -> artefact.Calibration:
    """The artefact from the table of ``model``."""
    stages = load_recipe(recipe).bind(scale=load_card(model).scale).stages
    found = subject_of(stages)
    if found is None or found[0].model != model:
        raise SystemExit(f"Recipe {recipe} is not a calibration's subject with model {model}.")
    table = models_dir() / model / "calibration-calibrate.csv"
    head = head_for(stages)
    return calibration_of(
        groups(read(table)),
        found[0].model_copy(update={"region": True}),
        head_sha256=None if head is None else head.sha256,
        origin="shipped",
        recordings_class=class_of(found[0]),
        scenes_sha256=hashlib.sha256(scenes.LIST.read_bytes()).hexdigest(),
        recordings_sha256=hashlib.sha256(table.read_bytes()).hexdigest(),
        software={"forensic": __version__, "simulator": str(VERSION)},
    )


def write(recipe: str, model: str) -> None:
    """Write the artefact and say what it holds. Its digest belongs on the model's card (``calibration_sha256``).

    Of an unchanged table the versions stay that it was made with; a new one is fitted where it was made.
    """
    calibration = made(recipe, model)
    path = models_dir() / model / FILE
    before = read_calibration(path)
    if before is not None and before.recordings_sha256 == calibration.recordings_sha256:
        calibration = calibration.model_copy(update={"software": before.software})
    path.write_bytes(calibration.data)
    print(f'calibration_sha256 = "{calibration.sha256}"')
    for stratum in calibration.strata:
        limit = "no LOW" if stratum.threshold is None else f"LOW below {stratum.threshold:g}"
        print(f"{stratum.name}: n = {stratum.n}, {limit}, area {stratum.low_area}, {stratum.refused or ''}")
