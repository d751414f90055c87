"""The methods that are compared, every one of them through the program's own pipeline."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from forensic.errors import ForensicError
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, Coding, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.registry.cards import verify_card
from forensic.simulation.simulator import Recording
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe, recipe_names
from forensic.stages.refined_fusion import LEAST_DOUBT
from forensic.stages.stage import Stage

#: Reference methods as chains of stages, with the stages' defaults where nothing is said; FACTOR is filled in.
CHAINS: dict[str, tuple[tuple[str, dict[str, object]], ...]] = {
    "nearest": (("resize", {"kernel": "nearest"}),),
    "bicubic": (("resize", {"kernel": "bicubic"}),),
    "lanczos": (("resize", {"kernel": "lanczos"}),),
    "nlm-lanczos": (("nlmeans", {}), ("resize", {"kernel": "lanczos"})),
    "average": (("temporal-average", {"frames": 4}), ("resize", {"kernel": "bicubic"})),
    "sequence": (("nlmeans", {}), ("deblock", {}), ("resize", {"kernel": "lanczos"})),
}
REFERENCE = "bicubic"
#: Recipes that are measured as soon as they exist (``auto`` chooses among them and is not a method).
RECIPES = ("classic", "learned", "light", "light-steady", "single", "dat", "basicvsr", "fuse", "multi")


#: The recipe ``fuse`` without its neighbours: what a frame gives on its own, by the same code.
ONE_FRAME = "fuse-one-frame"


#: The recipe ``multi`` told that its blur is certain, as ``fuse`` takes it.
KNOWN_BLUR = "multi-known-blur"


#: Methods of the plates alone: a marked region is followed as by ``enhance --track``, and the recipe works on that.
LOCKED = {"fuse-locked": "fuse", "multi-locked": "multi"}


#: What of a model's card makes pixels.
MODEL = ("id", "architecture", "scale", "channels", "precision", "weights_sha256")


class NotAvailable(Exception):
    """Why a method cannot be measured here, in words."""


@dataclass(frozen=True)
class Method:
    """A named pipeline that enlarges ``factor`` times."""

    name: str
    factor: int
    pipeline: Pipeline

    @property
    def settings(self) -> dict[str, object]:
        """Stages, effective parameters and models: what tells one version of a method from another."""
        found: dict[str, object] = {"stages": [_settings(stage.record()) for stage in self.pipeline.stages]}
        if any(stage.reads_coding for stage in self.pipeline.stages):
            found["coding"] = "told"
        return found

    @property
    def windowed(self) -> bool:
        """Whether neighbouring frames are looked at."""
        return self.pipeline.radius > 0

    def __call__(
        self, frames: Sequence[np.ndarray], keep: tuple[int, int], recording: Recording | None = None
    ) -> tuple[list[np.ndarray], float]:
        """Frames ``keep`` (half-open) of the result as uint8, and the seconds that one took.

        ``recording``: whose bitstream the frames are from; they come with how they were coded, as from the decoder.
        """
        start = time.perf_counter()
        decoded = coded(frames, recording)
        made = [output.frame.planes[0] for output in self.pipeline.run(iter(decoded), workers=1, keep=keep)]
        return made, (time.perf_counter() - start) / len(made)


def _settings(record: dict[str, Any]) -> dict[str, object]:
    """What of a stage's record makes pixels. ``motions`` left empty is as if there were no such parameter, nor that
    which says what they are of.

    Of a model's card the words are left out: they hold, among others, what was measured with it.
    """
    stated = record["parameters"]
    unused = set() if stated.get("motions", {}).get("value") else {"motions", "motions_in"}
    given = {name: one for name, one in stated.items() if name not in unused}
    model = record["model"] and {name: record["model"][name] for name in MODEL}
    return {"name": record["name"], "parameters": given, "model": model}


def of_luma(stages: Iterable[Stage[Any]]) -> list[Stage[Any]]:
    """Those of ``stages`` that can change luma: the recordings are grey, and have no colour to restore."""
    return [stage for stage in stages if not stage.keeps_luma]


def coded(frames: Sequence[np.ndarray], recording: Recording | None = None) -> list[CodedFrame]:
    """Luma planes in whole grey levels as decoded grey frames, coded as those of ``recording`` were."""
    height, width = frames[0].shape
    codings = [None] * len(frames) if recording is None else [_coding(recording, at) for at in range(len(frames))]
    geometry = Geometry(width, height, LAYOUTS["gray"])
    return [
        CodedFrame(
            (frame.astype(np.uint8),), geometry, ColourSpec(full_range=True),
            FrameTiming(number, number, Fraction(1, 25)), StageClass.PRESENTATION, codings[number],
        )
        for number, frame in enumerate(frames)
    ]  # fmt: skip


def _coding(recording: Recording, at: int) -> Coding:
    quantiser = recording.qp[at]
    if recording.degradation.codec.name != "h264" or quantiser is None:
        return Coding(recording.frame_types[at], why_not="no H.264")
    return Coding(recording.frame_types[at], "h264", quantiser)


def available() -> list[str]:
    """Names of all methods of whole pictures that this checkout has, in the order of the tables."""
    recipes = recipe_names()
    found = [*CHAINS, *(name for name in RECIPES if name in recipes)]
    return [*found, *(name for name, of in ((KNOWN_BLUR, "multi"), (ONE_FRAME, "fuse")) if of in found)]


def method(name: str, factor: int) -> Method:
    """Build method ``name``: a chain, a recipe, that of a name in ``LOCKED``, or ``model:ID`` for a model on its own.

    Raises ``NotAvailable`` where the recipe does not exist or cannot enlarge ``factor`` times.
    """
    try:
        if name in CHAINS:
            stages = [
                catalogue.build(stage, {**values, "scale": float(factor)} if stage == "resize" else dict(values))
                for stage, values in CHAINS[name]
            ]
        elif name.startswith("model:"):
            stages = [catalogue.build("learned-upscale", {"model": name.removeprefix("model:"), "overlap": 64})]
        elif name == ONE_FRAME:
            stages = [
                stage.varied(frames=0) if stage.name == "fusion" else stage
                for stage in load_recipe("fuse").bind(scale=factor).stages
            ]
        elif name == KNOWN_BLUR:
            stages = [
                stage.varied(blur_error=LEAST_DOUBT) if stage.name == "refined-fusion" else stage
                for stage in load_recipe("multi").bind(scale=factor).stages
            ]
        else:
            stages = list(load_recipe(LOCKED.get(name, name)).bind(scale=factor).stages)
    except ForensicError as error:
        raise NotAvailable(error.message) from error
    built = Method(name, factor, Pipeline(of_luma(stages)))
    geometry = Geometry(80, 60, LAYOUTS["gray"])
    try:
        reached = built.pipeline.output_geometry(geometry)
        for stage in built.pipeline.stages:
            if stage.model is not None:
                verify_card(stage.model)  # weights of a pack may not have been fetched
    except ForensicError as error:
        raise NotAvailable(error.message) from error
    if (reached.width, reached.height) != (80 * factor, 60 * factor):
        raise NotAvailable(f"{name} does not enlarge {factor} times.")
    return built


def digest(*parts: object) -> str:
    """Short digest of JSON-able settings: a score whose digest differs was measured on something else."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]
