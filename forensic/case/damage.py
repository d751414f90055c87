"""What stages that replace damaged pixels did, over all frames of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: Names of the stages that replace damaged pixels (those whose parameters are ``MaskParameters``).
STAGES = frozenset({"fill-from-neighbours", "inpaint"})


def damage_record(stages: Iterable[str], notes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One JSON-able entry for each of the ``stages``, by their names in order, that replaces damaged pixels.

    ``notes``: of the run's frames, as they stand in its file of notes, where each frame's own mask and numbers are.
    ``pixels_filled`` were taken from other frames; ``pixels_left`` were not (and are as recorded, or made up by the
    model where the stage is generative).
    """
    own: dict[int, list[Mapping[str, Any]]] = {n: [] for n, name in enumerate(stages, start=1) if name in STAGES}
    for frame in notes:
        for one in frame["notes"]:
            if one["position"] in own:
                own[one["position"]].append(one)
    return [_of(found) for found in own.values()]


def _of(own: list[Mapping[str, Any]]) -> dict[str, Any]:
    masks = [one["mask"] for one in own]
    detectors = [mask["detector"] for mask in masks if "detector" in mask]
    pictures = sorted({mask["picture_sha256"] for mask in masks if "picture_sha256" in mask})
    return {
        "stage": {"position": own[0]["position"], "name": own[0]["stage"]} if own else None,
        "frames": len(own),
        "frames_damaged": sum(mask["pixels"] > 0 for mask in masks),
        "largest_share": max((mask["share"] for mask in masks), default=0.0),
        "pixels": sum(mask["pixels"] for mask in masks),
        "pixels_marked_by_user": sum(mask["marked_by_user"] for mask in masks),
        "mask_pictures": pictures,
        "pixels_found_by_detector": sum(one["pixels"] for one in detectors if one["not_used"] is None),
        "frames_without_detection": sum("why_none" in one for one in detectors),
        "frames_detection_not_used": sum(one["not_used"] is not None for one in detectors),
        "pixels_filled": sum(one.get("filled", 0) for one in own),
        "pixels_left": sum(one.get("left", 0) for one in own),
    }
