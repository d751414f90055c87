"""Made-up calibration artefacts that agree with themselves, for tests."""

from __future__ import annotations

from typing import Any

from forensic.risk.calibration import artefact
from forensic.risk.calibration.criteria import THRESHOLDS, TOLERANCES
from forensic.risk.calibration.software import versions_of
from forensic.risk.calibration.strata import CLAIMS, Group, Recording, fit

SUBJECT: dict[str, Any] = {
    "model": "made-up", "weights_sha256": "ab" * 32, "precision": "float32", "scale": 2, "stage": "learned-upscale",
    "parameters": {"consistency": 0.0}, "region": False,
}  # fmt: skip
SPREAD = ("noise", "blur", "residual", "whiteness", "quantiser")
LIKE: dict[str, float] = {
    "noise": 1.0, "blur": 2.0, "residual": 3.0, "whiteness": 0.1, "quantiser": 25.0, "bits": 0.5, "short": 60.0,
    "long": 80.0, "depth": 8.0, "range": 1.0, "features": 1.0, "frames": None,
}  # fmt: skip


def recording(fails_from: float = 1e9, number: int = 0, **measures: float | None) -> Recording:
    """A recording of 1000 pixels; from ``fails_from`` on a tenth of the LOW pixels is wrong."""
    spread = {name: value + 0.01 * number if name in SPREAD else value for name, value in LIKE.items()}
    wrong = {one: 10 if one >= fails_from else 0 for one in THRESHOLDS}
    low = {one: int(10 * one) for one in THRESHOLDS}
    nothing = dict.fromkeys(THRESHOLDS, 0)
    return Recording(
        pixels=1000, low=low, edge_low=nothing, wrong=dict.fromkeys(TOLERANCES, wrong),
        edge_wrong=dict.fromkeys(TOLERANCES, nothing), largest=dict.fromkeys(TOLERANCES, nothing),
        measures={**spread, **measures},
    )  # fmt: skip


def calibration(
    recordings: list[Recording] | None = None, *, subject: dict[str, Any] | None = None, origin: str = "shipped"
) -> artefact.Calibration:
    """Two strata: ``fine`` (quantiser up to 28) of the recordings given, ``coarse`` (28 to 40) of three."""
    fine = recordings or [recording(4.0 if number % 10 == 0 else 1e9, number) for number in range(200)]
    coarse = [recording(number=number, quantiser=30.0 + number) for number in range(3)]
    each, strata = fit([Group("fine", 0.0, 28.0, fine), Group("coarse", 28.0, 40.0, coarse)], 2)
    return artefact.Calibration.model_validate(
        {
            "schema": artefact.SCHEMA,
            "origin": origin,
            "score": artefact.SUM,
            "head_sha256": None,
            "subject": artefact.Subject(**(subject or SUBJECT)),
            "class": "Made-up recordings.",
            "epsilon": 0.05,
            "delta": 0.05,
            "delta_each": each,
            "claims": list(CLAIMS),
            "strata": strata,
            "scenes_sha256": "00" * 32,
            "recordings_sha256": "11" * 32,
            "software": {"forensic": "0", "simulator": "1", **versions_of(artefact.QUANTILE, "float32")},
        }
    )
