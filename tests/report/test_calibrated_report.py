"""The report of a run whose risk map cites a calibration: what it says on every page, and never says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensic.report.sections.calibration import standing
from forensic.report.wording import words
from forensic.risk.calibration.artefact import Calibration
from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.judging import CALIBRATED, CALIBRATED_OWN, OUTSIDE, REFUSED, UNUSABLE, judge
from forensic.risk.calibration.laboratory import Failed, HeldOut, Shown
from forensic.signing.identity import Identity
from tests.calibration import documented
from tests.report.example_run import build_run
from tests.report.files import build_pdf
from tests.risk.calibrations import calibration

Change = Callable[[dict[str, Any]], None]


def _pages(folder: Path, identity: Identity, *, outside: bool, alter: Change = lambda calibration: None) -> list[str]:
    """The report's pages of a run that cites a calibration. ``alter`` may change ``risk.calibration``."""
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
        alter(risk["calibration"])

    def limits_of(risk: dict[str, Any]) -> Any:
        return risk["frames"][0]["summary"]["thresholds"]

    return _printed(folder, identity, change)


def _printed(folder: Path, identity: Identity, change: Change) -> list[str]:
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
    assert f"1 of 2 {CALIBRATED}; 1 of 2 {OUTSIDE}" in _certification(pages)


def _certification(pages: list[str]) -> str:
    return " ".join(page for page in pages if words("certification", "mark") in page)


def test_the_certification_of_a_calibrated_run_does_not_call_its_map_uncalibrated(
    tmp_path: Path, identity: Identity
) -> None:
    draft = _certification(_pages(tmp_path, identity, outside=False))
    assert "LOW is calibrated on simulated recordings" in draft and "uncalibrated" not in draft.lower()


def test_the_certification_of_an_uncalibrated_run_calls_its_map_so(tmp_path: Path, identity: Identity) -> None:
    draft = _certification(_printed(tmp_path, identity, lambda predicate: None))
    assert "The risk map is uncalibrated" in draft


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([], "No frame was mapped"),
        ([None, None], "is uncalibrated"),  # as records before 0.3.0 are
        ([UNUSABLE], "is uncalibrated"),
        ([CALIBRATED, CALIBRATED], "calibrated on simulated recordings"),
        ([CALIBRATED_OWN], "on the laboratory's own pairs"),
        ([OUTSIDE], "outside the domain of its calibration: nothing in it is LOW"),
        ([REFUSED], "found no threshold"),
        ([UNUSABLE, CALIBRATED], f"1 of 2 {UNUSABLE}; 1 of 2 {CALIBRATED}"),
        (["ANOTHER"], "says of itself: ANOTHER."),
    ],
)
def test_the_certification_tells_every_status_of_a_map(statuses: list[str | None], said: str) -> None:
    frames = [{"summary": {} if one is None else {"status": one}} for one in statuses]
    text = standing({"status": "UNCALIBRATED", "frames": frames})
    assert said in text and "{" not in text


def test_a_run_of_which_one_frame_could_not_be_judged_does_not_call_all_of_its_levels_uncalibrated(
    tmp_path: Path, identity: Identity
) -> None:
    def alter(predicate: dict[str, Any]) -> None:
        predicate["risk"]["frames"][0]["summary"]["status"] = CALIBRATED
        predicate["risk"]["calibration"] = {"artefact": calibration().model_dump(mode="json", by_alias=True)}

    text = " ".join(_printed(tmp_path, identity, alter))
    assert "For at least one frame the calibration named below could not be used" in text
    assert "41 % of the LOW tiles" not in text and "Risk map (uncalibrated)" not in text


def test_a_calibrated_report_tells_the_worst_that_is_known_of_writing(tmp_path: Path, identity: Identity) -> None:
    text = " ".join(_pages(tmp_path, identity, outside=False))
    assert "That a character is LOW does not confirm it." in text
    assert f"in up to {words('calibration', 'worst')}: the worst of all models and strata" in text


def test_a_laboratorys_own_calibration_is_not_told_by_the_numbers_of_the_shipped_ones(
    tmp_path: Path, identity: Identity
) -> None:
    def own(cited: dict[str, Any]) -> None:
        cited["artefact"] |= {"origin": "laboratory", "laboratory": {"name": "Lab 7", "held_out": []}}

    text = " ".join(_pages(tmp_path, identity, outside=False, alter=own))
    assert "The laboratory's own calibration" in text and "That a character is LOW does not confirm it." in text
    assert "shipped with this program" not in text and words("calibration", "worst") not in text


def test_the_worst_that_the_wording_tells_of_writing_is_what_was_measured() -> None:
    (told,) = (one for one in documented.worst("text-like") if "by more than 32" in one)
    found = re.search(r"in (\d+ of \d+) \[(\d+), (\d+) %\] \((.+), (.+)\)$", told)
    assert found is not None, f"tests.calibration.documented tells it in another form: {told}"
    failed, low, high, model, stratum = found.groups()
    due = f"{failed} (95 % limits {low} to {high} %; model {model}, quantiser {stratum})"
    assert words("calibration", "worst") == due, (
        "The tables models/*/evaluation.csv now tell something else than the report. "
        f'In reports/wording/report.toml, under [calibration], write: worst = "{due}"'
    )


def _tested(made: Calibration) -> dict[str, Any]:
    """``held_out`` of a record: 4 of 30 with LOW failed in the first stratum, the other has no LOW."""
    rates = [Failed.of(failures, 180) for failures in (3, 1, 0)]
    writing = Shown(
        by="area", name="text-like", tolerance=32, n=150, abstained=140, low_area=0.01, failed=Failed.of(7, 10)
    )
    first = HeldOut(
        stratum=made.strata[0].name, n=200, outside=20, abstained=150, failures=[one.failures for one in rates],
        low=[one.low for one in rates], high=[one.high for one in rates], any_claim=Failed.of(4, 30), low_area=0.02,
        shown=[writing],
    )  # fmt: skip
    none = Failed.of(0, 180)
    second = HeldOut(
        stratum=made.strata[1].name, n=200, outside=20, abstained=180, failures=[0, 0, 0], low=[none.low] * 3,
        high=[none.high] * 3, any_claim=Failed.of(0, 0), low_area=None, shown=[],
    )  # fmt: skip
    told = [one.model_dump(mode="json") for one in (first, second)]
    return {"file": "evaluation.csv", "sha256": "77" * 32, "why_none": None, "strata": told}


def test_the_held_out_test_of_a_shipped_calibration_is_told_by_strata_and_where_the_frames_lie(
    tmp_path: Path, identity: Identity
) -> None:
    def add(cited: dict[str, Any]) -> None:
        cited["held_out"] = _tested(calibration())

    text = " ".join(_pages(tmp_path, identity, outside=True, alter=add))
    assert "evaluation.csv beside the model's card, SHA-256 7777" in text
    assert "Stratum fine (frames of this run in it: 0): any claim failed in 4 of 180 recordings in the" in text
    assert "recordings in the domain (0.6 % to 5.6 %); of those with LOW in 4 of 30 (3.8 % to 30.7 %). 150 of" in text
    assert "150 of the 180 had no LOW; LOW covered 2.0 % of the area in the mean." in text
    assert "On text-like places 10 of 150 recordings had LOW pixels; more than 5 % of these pixels" in text
    assert "differed by more than 32 grey levels in 7 of 10 (34.8 % to 93.3 %)." in text
    assert "share 16: 3 (0.3 % to 4.8 %)" in text and "Stratum coarse (frames" not in text


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (None, "This record does not hold what a held-out test found"),
        ({"file": "evaluation.csv", "sha256": None, "strata": [], "why_none": "it is gone"}, "of the run: it is gone."),
        (
            {"file": "evaluation.csv", "sha256": None, "strata": [{"n": 3}], "why_none": None},
            "not agree with themselves",
        ),
    ],
)
def test_where_there_are_no_held_out_numbers_the_report_says_so(
    tmp_path: Path, identity: Identity, held_out: Any, said: str
) -> None:
    def add(cited: dict[str, Any]) -> None:
        if held_out is not None:
            cited["held_out"] = held_out

    assert said in " ".join(_pages(tmp_path, identity, outside=False, alter=add))
