"""The report of a run whose risk map cites a calibration: what it says on every page, and never says."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.judging import CALIBRATED, OUTSIDE, judge
from forensic.signing.identity import Identity
from tests.report.example_run import build_run
from tests.report.files import build_pdf
from tests.risk.calibrations import calibration


def _pages(folder: Path, identity: Identity, *, outside: bool) -> list[str]:
    made = calibration()
    inside: dict[str, float | None] = {name: limits.low for name, limits in made.strata[0].envelope.items()}
    inside |= {"frames": None}  # that only pictures of several frames have
    assert inside.keys() == MEASURES.keys()
    verdicts = [judge(made, inside), judge(made, inside | {"noise": 60.0 if outside else inside["noise"]})]

    def change(predicate: dict[str, Any]) -> None:
        risk = predicate["risk"]
        for frame, verdict in zip(risk["frames"], verdicts, strict=True):
            limits = {"medium": verdict.low_below, "high": 10.0}
            told = {"status": verdict.status, "thresholds": limits, "calibration": verdict.to_record()}
            frame["summary"] = {**frame["summary"], **told}
        risk["status"] = "PARTLY CALIBRATED: SOME FRAMES HAVE NO LOW LABEL" if outside else CALIBRATED
        risk["thresholds"] = None if outside else limits_of(risk)
        risk["calibration"] = {"sha256": made.sha256, "artefact": made.model_dump(mode="json", by_alias=True)}

    def limits_of(risk: dict[str, Any]) -> Any:
        return risk["frames"][0]["summary"]["thresholds"]

    run = build_run(folder / "run", identity, change=change)
    build_pdf(run.predicate, run.folder, run.attestation, folder / "out.pdf")
    done = subprocess.run(["pdftotext", "-layout", str(folder / "out.pdf"), "-"], check=True, capture_output=True)
    return [" ".join(page.split()) for page in done.stdout.decode().split("\f")[:-1]]


def test_a_calibrated_map_says_what_was_tested_and_nothing_more(tmp_path: Path, identity: Identity) -> None:
    pages = _pages(tmp_path, identity, outside=False)
    text = " ".join(pages)
    assert "For recordings of class S, tested on 200 independent scenes, we are 95% confident that in at least" in text
    assert "Made-up recordings." in text and calibration().sha256[:16] in text.replace(" ", "")
    assert "no LOW" in text  # of the stratum that was refused
    assert "likely to be correct" not in text and "RISK MAP: UNCALIBRATED" not in text
    maps = [page for page in pages if "RISK MAP: CALIBRATED" in page]
    assert len(maps) >= 3


def test_a_frame_outside_the_domain_says_so_on_its_page_and_has_no_low(tmp_path: Path, identity: Identity) -> None:
    pages = _pages(tmp_path, identity, outside=True)
    own = [page for page in pages if OUTSIDE in page.partition("Frame 5 (PTS")[0] and "Frame 5 (PTS" in page]
    assert own and any("No tile of this frame is called LOW. noise" in page for page in own)
    assert any("there is no LOW label" in page for page in own)
    assert any("RISK MAP: CALIBRATED" in page for page in pages)
    assert any("PARTLY CALIBRATED: SOME FRAMES HAVE NO LOW LABEL" in page for page in pages)
