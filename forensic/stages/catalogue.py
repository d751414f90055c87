"""The visible list of every stage. Nothing is added by configuration, environment or entry points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forensic.errors import BadInput, InternalError
from forensic.stages.annotate import Annotate
from forensic.stages.aspect import Aspect
from forensic.stages.channel import Channel
from forensic.stages.clahe import Clahe
from forensic.stages.crop import Crop
from forensic.stages.curves import Curves
from forensic.stages.deblock import Deblock
from forensic.stages.deflicker import Deflicker
from forensic.stages.deinterlace import Deinterlace
from forensic.stages.diffusion_upscale import DiffusionUpscale
from forensic.stages.external_upscale import ExternalUpscale
from forensic.stages.fill_from_neighbours import FillFromNeighbours
from forensic.stages.follow import Follow
from forensic.stages.fusion import Fusion
from forensic.stages.generative_upscale import GenerativeUpscale
from forensic.stages.grain import Grain
from forensic.stages.grain_remove import GrainRemove
from forensic.stages.inpaint import Inpaint
from forensic.stages.learned_colour import LearnedColour
from forensic.stages.learned_sequence import LearnedSequence
from forensic.stages.learned_upscale import LearnedUpscale
from forensic.stages.levels import Levels
from forensic.stages.local_contrast import LocalContrast
from forensic.stages.measure import Measure
from forensic.stages.nlmeans import NonLocalMeans
from forensic.stages.parameters import read_parameters
from forensic.stages.perspective import Perspective
from forensic.stages.refined_fusion import RefinedFusion
from forensic.stages.resize import Resize
from forensic.stages.richardson_lucy import RichardsonLucy
from forensic.stages.rotate_flip import RotateFlip
from forensic.stages.selective_colour import SelectiveColour
from forensic.stages.side_by_side import SideBySide
from forensic.stages.stabilise import Stabilise
from forensic.stages.stage import Stage
from forensic.stages.steady import Steady
from forensic.stages.temporal_average import TemporalAverage
from forensic.stages.undistort import Undistort
from forensic.stages.unsharp import Unsharp
from forensic.stages.white_balance import WhiteBalance
from forensic.stages.wiener import Wiener

STAGES: tuple[type[Stage[Any]], ...] = (
    # presentation
    Channel,
    Levels,
    Curves,
    Clahe,
    LocalContrast,
    WhiteBalance,
    SelectiveColour,
    Deflicker,
    Annotate,
    Measure,
    # geometric
    Crop,
    Follow,
    RotateFlip,
    Aspect,
    Undistort,
    Perspective,
    Resize,
    Stabilise,
    SideBySide,
    # fidelity
    Deinterlace,
    Deblock,
    NonLocalMeans,
    TemporalAverage,
    Steady,
    FillFromNeighbours,
    Fusion,
    Unsharp,
    Wiener,
    RichardsonLucy,
    LearnedUpscale,
    LearnedSequence,
    RefinedFusion,
    LearnedColour,
    # generative
    GenerativeUpscale,
    DiffusionUpscale,
    ExternalUpscale,
    Inpaint,
    GrainRemove,
    Grain,
)

_extra: dict[str, type[Stage[Any]]] = {}


def _types() -> dict[str, type[Stage[Any]]]:
    return {stage.name: stage for stage in STAGES} | _extra


def stage_names() -> list[str]:
    """Names of all stages, in catalogue order."""
    return list(_types())


def stage_type(name: str) -> type[Stage[Any]]:
    """Look a stage up. Raises ``BadInput`` (``stage.unknown``)."""
    types = _types()
    if name not in types:
        raise BadInput("stage.unknown", f"There is no stage {name!r}.", "Known stages: " + ", ".join(types) + ".")
    return types[name]


def build(name: str, parameters: dict[str, Any], *, models_dir: Path | None = None) -> Stage[Any]:
    """Make stage ``name`` with ``parameters``; what is not given takes its default.

    ``models_dir`` is where learned stages look for models (the shipped ones if None). Raises
    ``BadInput``: ``stage.unknown``, or ``stage.parameters`` naming parameter, unit and range;
    ``PolicyRefused`` (``model.*``) if a learned stage's model cannot be trusted.
    """
    return stage_type(name).create(parameters, models_dir)


def check(name: str, parameters: dict[str, Any]) -> None:
    """Check that ``build`` would accept these, as far as that is known without looking at a model."""
    chosen = stage_type(name)
    read_parameters(chosen.parameter_model, name, parameters)


@contextmanager
def registered(extra: type[Stage[Any]]) -> Iterator[None]:
    """Add a stage for the length of a ``with`` block of this process: for tests of the gates.

    This is how the test-only generative stage is tried; no shipped code calls it. Raises
    ``InternalError`` (``stage.registered``) for a name that exists.
    """
    if extra.name in _types():
        raise InternalError("stage.registered", f"A stage {extra.name!r} exists.")
    _extra[extra.name] = extra
    try:
        yield
    finally:
        del _extra[extra.name]
