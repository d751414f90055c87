"""From the table of a model's calibration recordings to the artefact beside its card; anyone can do it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from forensic import __version__
from forensic.resources import models_dir
from forensic.risk.calibration import artefact
from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.fitting import CLAIMS, Group, Recording, fit
from forensic.risk.calibration.losses import TOLERANCES
from forensic.risk.calibration.shelf import FILE, subject_of
from forensic.risk.calibration.testing import DELTA, EPSILON
from forensic.simulation.degradation import VERSION
from forensic.stages.recipe import load_recipe
from tests.calibration import scenes
from tests.calibration.recordings import STRATA
from tests.calibration.rows import numbers, read

CLASS = (
    "One frame of a simulated recording of a photograph of the set BSDS500 (train and val): recorded size 80 by 60 or "
    "60 by 80 pixels, area sampling by four after Gaussian lens blur of 0.2 to 0.7 recorded pixels (uniform), shot "
    "noise of variance 0.02 per grey level and read noise of 1 grey level, camera shake of 0.5 recorded pixels, no "
    "sharpening by the camera, 9 frames of H.264 (x264, preset medium, one intra picture) of which the middle one is "
    "mapped; full range, luma. Real footage is not in this class as such."
)


def recording(row: Mapping[str, str]) -> Recording:
    """A row of the table."""
    return Recording(
        pixels=int(row["pixels"]),
        low=numbers(row, "low"),
        edge_low=numbers(row, "edge_low"),
        wrong={t: numbers(row, f"wrong_{t}") for t in TOLERANCES},
        edge_wrong={t: numbers(row, f"edge_wrong_{t}") for t in TOLERANCES},
        largest={t: numbers(row, f"largest_{t}") for t in TOLERANCES},
        measures={name: float(row[name]) if row[name] else None for name in MEASURES},
    )


def groups(rows: Sequence[Mapping[str, str]]) -> list[Group]:
    """Every stratum's recordings; a scene that gave none there is left out (the class is defined by the quantiser)."""
    return [
        Group(one.name, one.above, one.up_to, [recording(r) for r in rows if r["stratum"] == one.name and r["pixels"]])
        for one in STRATA
    ]


def made(recipe: str, model: str) -> artefact.Calibration:
    """The artefact from the table of ``model``."""
    found = subject_of(load_recipe(recipe).bind().stages)
    if found is None or found[0].model != model:
        raise SystemExit(f"Recipe {recipe} is not a calibration's subject with model {model}.")
    table = models_dir() / model / "calibration-calibrate.csv"
    delta_each, strata = fit(groups(read(table)), found[0].scale)
    about: dict[str, Any] = {"schema": artefact.SCHEMA, "class": CLASS}
    return artefact.Calibration(
        origin="shipped",
        score=artefact.SCORE,
        subject=found[0],
        **about,
        epsilon=EPSILON,
        delta=DELTA,
        delta_each=delta_each,
        claims=list(CLAIMS),
        strata=strata,
        scenes_sha256=hashlib.sha256(scenes.LIST.read_bytes()).hexdigest(),
        recordings_sha256=hashlib.sha256(table.read_bytes()).hexdigest(),
        software={"forensic": __version__, "simulator": str(VERSION)},
    )


def write(recipe: str, model: str) -> None:
    """Write the artefact and say what it holds."""
    calibration = made(recipe, model)
    (models_dir() / model / FILE).write_bytes(calibration.data)
    for stratum in calibration.strata:
        limit = "no LOW" if stratum.threshold is None else f"LOW below {stratum.threshold:g}"
        print(f"{stratum.name}: n = {stratum.n}, {limit}, area {stratum.low_area}, {stratum.refused or ''}")
