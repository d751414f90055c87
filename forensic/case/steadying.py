"""A recipe that holds the scene to one frame: where every frame lies against it is measured before the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.case.ending import record_end, why_ended
from forensic.case.execution import as_acquired, open_exhibit_file
from forensic.case.exhibits import Exhibit, check_untouched
from forensic.case.following import CONTEXT
from forensic.case.progress import Progress
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, Interrupted, UsageError
from forensic.stages.camera_path import CameraPath, path_against
from forensic.stages.informing import informed
from forensic.stages.recipe import Recipe
from forensic.stages.stabilise import Stabilise
from forensic.stages.stage import Stage
from forensic.stages.validity import common_rectangle

FOLLOWED, FAILED = "exhibit.camera-followed", "exhibit.camera-failed"
_MOST = 2000  # frames, beside the context: the path is part of the recipe
_BEFORE = frozenset({"deinterlace", "deblock", "nlmeans", "temporal-average", "levels", "curves", "deflicker"})


@dataclass(frozen=True)
class Steadied:
    """The path that was measured, and the number of the entry that holds it."""

    seq: int
    path: CameraPath

    def recipe(self, base: Recipe) -> Recipe:
        """``base`` with the path in its stage ``stabilise``."""
        return informed(
            base, prefix="held", first={}, parameters={Stabilise.name: self.path.to_parameters()},
            why=f"The scene is held to the place of frame {self.path.reference}.",
            source=f"{base.source}, with the path of entry {self.seq}",
        )  # fmt: skip


def wants_path(recipe: Recipe, cropped: bool) -> Mapping[str, Any] | None:
    """Parameters of the recipe's stage ``stabilise`` if it names a reference frame and no path, else None.

    ``cropped``: whether a region is cut out of the recording first. Raises ``BadInput`` (``recipe.invalid``) where a
    stage before it moves the picture, or a crop its middle: the path would be of another picture.
    """
    for number, step in enumerate(recipe.steps):
        if step.name != Stabilise.name or step.parameters.get("reference") is None or "path" in step.parameters:
            continue
        moving = [one.name for one in recipe.steps[:number] if one.name not in _BEFORE]
        if moving:
            raise BadInput(
                "recipe.invalid",
                f"Stage 'stabilise' with a reference frame stands behind {', '.join(moving)}.",
                "The path is measured on the recording: put 'stabilise' before stages that change size or place.",
            )
        if cropped and step.parameters.get("model", "translation") != "translation":
            raise BadInput(
                "recipe.invalid",
                "With a region of interest only the model 'translation' can be held to a reference frame.",
                "Leave the region out, or choose that model.",
            )
        return step.parameters
    return None


def follow_camera(
    workspace: Workspace,
    exhibit: Exhibit,
    given: Mapping[str, Any],
    frames: tuple[int, int],
    progress: Progress,
) -> Steadied:
    """Place the frames ``frames`` (half-open) and 16 beyond on either side, which later stages may look at, against
    frame ``given["reference"]`` by ``given["model"]``.

    ``exhibit.camera-followed`` holds every place. Raises ``UsageError`` (``stabilise.range``), ``VerificationFailed``
    (``exhibit.changed``, ``exhibit.decodes-differently``) and as ``SandboxedReader``; each is recorded as
    ``exhibit.camera-failed``.
    """
    identity = {"case": exhibit.case, "exhibit": exhibit.id}
    reference, model = given["reference"], given.get("model", "translation")
    asked: dict[str, Any] = {"reference": reference, "model": model, "frames": list(frames)}
    try:
        check_untouched(workspace, exhibit)
        if not 0 <= reference < exhibit.frame_count or frames[1] - frames[0] > _MOST:
            raise UsageError(
                "stabilise.range",
                f"Frames {frames[0]}:{frames[1]} cannot be held to frame {reference} of {exhibit.frame_count}.",
                f"Name a frame that the exhibit has, and at most {_MOST} frames with --frames.",
            )
        wanted = range(max(0, frames[0] - CONTEXT), min(exhibit.frame_count, frames[1] + CONTEXT))
        with progress.task("Following the camera", len(wanted), "frames") as task:
            picture = next(luma for _, luma in _lumas(exhibit, range(reference, reference + 1)))

            def counted() -> Iterator[tuple[int, np.ndarray]]:
                for one in _lumas(exhibit, wanted):
                    task.advance()
                    yield one

            path = path_against(reference, picture, counted(), model)
        entry = workspace.ledger.append(FOLLOWED, {**asked, "path": path.to_record()}, **identity)
    except BaseException as error:
        code, reason = why_ended(error)
        record_end(workspace.ledger, FAILED, {**asked, "code": code, "reason": reason}, error, **identity)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("stabilise.cancelled", "Following was cancelled; that is on the record.") from None
        raise
    lost = f"; {len(path.lost)} could not be placed and stay where they are" if path.lost else ""
    progress.say(f"{len(path.places)} frames were placed against frame {reference}{lost}")
    return Steadied(entry.seq, path)


def _lumas(exhibit: Exhibit, wanted: range) -> Iterator[tuple[int, np.ndarray]]:
    with open_exhibit_file(exhibit) as reader:
        for frame in as_acquired(exhibit, exhibit.manifest(), reader.frames()):
            if frame.timing.index >= wanted.stop:
                return
            if frame.timing.index in wanted:
                yield frame.timing.index, frame.to_working().luma


def steadying_record(stages: Iterable[Stage[Any]], notes: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the stage ``stabilise`` did over all frames: JSON-able; None without one such stage among ``stages``.

    ``notes``: of the run's frames, as they stand in its file of notes. ``reference`` is the frame that the scene was
    held to by the path in the stage's parameters, measured for the run or given by its recipe; else null.
    """
    found = [stage for stage in stages if isinstance(stage, Stabilise)]
    if len(found) != 1:
        return None
    parameters = found[0].parameters
    own = [one for frame in notes for one in frame["notes"] if one["stage"] == Stabilise.name]
    rectangle = common_rectangle(own)
    return {
        "reference": parameters.reference,
        "path_given": parameters.path is not None,
        "frames": len(own),
        "common_rectangle": None if rectangle is None else list(rectangle),
        "largest_share_outside": max((one["outside"]["share"] for one in own), default=0.0),
        "limited": sum(bool(one["limited"]) for one in own),
        "not_followed": sum("not_followed" in one for one in own),
    }
