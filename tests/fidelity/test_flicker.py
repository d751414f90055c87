"""The known displacement takes the camera's motion out of flicker, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.validation import fidelity, temporal
from tests.fidelity import cells, flicker
from tests.fidelity.cells import Cell
from tests.fidelity.scenes import synthetic


def test_true_motion_leaves_flicker_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "SIZES", {4: (40, 48), 2: (48, 64)})
    recording = Cell(4, "jitter", "none").record(synthetic(1)[0], 0)
    motion = flicker.flows(recording, (2, 7))
    truth = [fidelity.inside(plane, 24) for plane in recording.truth[2:7]]
    still = temporal.warping_error(truth, motion).rms
    assert still < 0.4 * temporal.warping_error(truth, [-flow for flow in motion]).rms, "the sign of the motion"
    assert still < 0.6 * temporal.warping_error(truth, [0 * flow for flow in motion]).rms
    # A change of brightness of +-10 from frame to frame adds a step of 20 to what was left.
    flickering = [plane + (10 if number % 2 else -10) for number, plane in enumerate(truth)]
    found = temporal.warping_error(flickering, motion).rms
    assert found == pytest.approx(np.hypot(20, still), rel=0.02)
