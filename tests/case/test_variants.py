"""How a result varies with the way its pictures lie: what a stage was told of places lies with them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from forensic.case.variants import dispersion_of
from forensic.frames.frame import WorkingFrame
from forensic.fusion.registration import register
from forensic.stages import catalogue
from forensic.stages.follow import Follow
from forensic.stages.fusion import Fusion
from forensic.stages.stage import Stage
from tests.fidelity.methods import coded
from tests.fusion.recordings import drawn, recording

AT = 2
QUICK = {"scale": 1, "frames": 2, "self_similarity": False, "registration": "translation"}


class Learned(Fusion):
    """Stands for a fusion that a model refines."""

    learned = True  # type: ignore[assignment]


@pytest.fixture(scope="module")
def window() -> list[WorkingFrame]:
    """Five frames of a camera whose hand shakes."""
    return [frame.to_working() for frame in coded(recording(drawn(160, 192), frames=5).frames)]


@pytest.fixture(scope="module")
def motions(window: list[WorkingFrame]) -> list[list[float]]:
    found = [register(window[AT].luma, frame.luma, "translation") for frame in window]
    return [[number, *np.ravel(one.motion.matrix).tolist()] for number, one in enumerate(found) if one is not None]


def _plan(*stages: Stage[Any]) -> Any:
    return SimpleNamespace(recipe=SimpleNamespace(stages=stages))


def _spread(stages: Sequence[Stage[Any]], window: list[WorkingFrame]) -> float:
    found, why = dispersion_of(_plan(*stages), window, AT)
    assert found is not None and why is None
    return float(found.deviation.mean())


@pytest.mark.parametrize("behind", [False, True], ids=["whole", "behind a region that moves"])
def test_given_motions_turn_with_the_pictures(
    behind: bool, window: list[WorkingFrame], motions: list[list[float]]
) -> None:
    points = [[index, 22.0 + 1.7 * index, 18.0 + index] for index in range(5)]
    before = [catalogue.build("follow", {"points": points, "width": 40, "height": 32})] if behind else []
    given = Learned.create(QUICK | {"motions": motions, "motions_in": "before-follow"})
    estimated = Learned.create(QUICK)
    assert _spread([*before, given], window) < 1.2 * _spread([*before, estimated], window)


def test_a_learned_stage_among_marked_places_is_not_turned(window: list[WorkingFrame]) -> None:
    class Marking(Follow):
        learned = True  # type: ignore[assignment]

    points = [[index, 22.0, 18.0] for index in range(5)]
    found, why = dispersion_of(_plan(Marking.create({"points": points, "width": 40, "height": 32})), window, AT)
    assert found is None and why is not None and "do not turn" in why
