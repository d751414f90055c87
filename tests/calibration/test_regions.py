"""A laboratory's calibration of regions: drawn by nobody's choice, drawn again by whoever checks, for --roi alone."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.case.calibrating.calibrate import CalibrateRequest, FinishedCalibration, calibrate
from forensic.case.layout import CalibrationFolder
from forensic.case.progress import Silent
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import open_workspace
from forensic.cli.main import run
from forensic.errors import ForensicError
from forensic.hashes import canonical_json, sha256_bytes
from forensic.risk.calibration.artefact import parse_calibration
from forensic.risk.calibration.drawn import CLASS, SIDES, STEP, described, drawn, faults, seed_of
from forensic.risk.calibration.evidence import contradictions
from tests.calibration import laboratory
from tests.calibration.pairs import make_pair

WORDS = "Indoor corridor camera of model X, filmed charts, 2026"


def _pair(number: int) -> dict[str, str]:
    return {"reference_sha256": sha256_bytes(b"r%d" % number), "degraded_sha256": sha256_bytes(b"d%d" % number)}


@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(1, 400))
def test_a_region_lies_in_its_picture_and_is_as_large_as_the_score_was_fitted_for(
    number: int, width: int, height: int
) -> None:
    found = drawn("seed", _pair(number), width, height)
    (least, most), (low, high) = SIDES
    fits = (width >= least and height >= low) or (width >= low and height >= least)
    assert (found is not None) == fits
    if found is not None:
        left, top, columns, rows = found
        assert left >= 0 and top >= 0 and left + columns <= width and top + rows <= height
        assert all(one % STEP == 0 for one in found)
        assert (least <= columns <= most and low <= rows <= high) or (low <= columns <= high and least <= rows <= most)
        assert drawn("seed", _pair(number), width, height) == found


def test_regions_lie_and_stand_and_reach_every_side_of_a_picture() -> None:
    found = [one for number in range(4000) if (one := drawn("seed", _pair(number), 160, 120)) is not None]
    assert len(set(found)) > 3000
    lying = sum(columns > 72 for *_, columns, _ in found)
    assert lying > 500 and sum(rows > 72 for *_, rows in found) > 500
    assert {min(one[0] for one in found), min(one[1] for one in found)} == {0}
    assert max(left + columns for left, _, columns, _ in found) == 160
    assert max(top + rows for _, top, _, rows in found) == 120


def test_whoever_changes_a_file_to_have_another_region_of_it_draws_all_of_them_again() -> None:
    given = [_pair(number) for number in range(40)]
    before = [drawn(seed_of(given), one, 640, 480) for one in given]
    for changed in ([*given[:-1], _pair(99)], given[:-1], [*given, {"reference_sha256": None, "degraded_sha256": "d"}]):
        after = [drawn(seed_of(changed), one, 640, 480) for one in given[:-1]]
        assert sum(first == second for first, second in zip(before, after, strict=False)) < 3
    assert seed_of(reversed([*given, given[0]])) == seed_of(given)  # neither order nor a pair given twice matters


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FinishedCalibration]:
    """Of three real pairs a region each; a fourth is too small for one. Do not change it."""
    root = tmp_path_factory.mktemp("regions")
    for number in (0, 3, 4):
        make_pair(root / "pairs", number, columns=96, rows=64)
    make_pair(root / "pairs", 5, columns=64, rows=32)
    with laboratory.workspace(root / "ws") as workspace:
        return root, calibrate(workspace, CalibrateRequest(root / "pairs", WORDS, regions=True), Silent())


def test_what_is_measured_is_the_region_registered(real: tuple[Path, FinishedCalibration]) -> None:
    _, done = real
    folder = CalibrationFolder(done.folder)
    plan = json.loads(folder.registration.read_bytes())
    pairs = [pair for one in plan["recordings"] for pair in one["pairs"]]
    assert len(pairs) == 3 and plan["regions"]["sides"] == [[48, 112], [40, 72]] and list(faults(plan)) == []
    assert plan["regions"]["seed"] == seed_of([*pairs, *plan["refused"]])
    heading, *rows = folder.recordings.read_text("utf-8").splitlines()
    pixels, short, long = (heading.split(",").index(name) for name in ("pixels", "short", "long"))
    for pair, row in zip(pairs, rows, strict=True):
        *_, columns, height = pair["region"]
        cells = row.split(",")
        assert int(cells[pixels]) == 16 * columns * height
        assert {float(cells[short]), float(cells[long])} == {float(columns), float(height)}
    (refused,) = plan["refused"]
    assert refused["code"] == "calibration.pair" and "64x32 holds no region of 48 by 40" in refused["reason"]
    made = done.calibration
    assert made.subject.region and made.class_.startswith("One region of 48 to 112 by 40 to 72 recorded pixels")
    assert made.class_ == CLASS + WORDS
    text = subprocess.run(["pdftotext", folder.report, "-"], capture_output=True, text=True, check=True).stdout
    assert "drawn from the digests of all files given" in " ".join(text.split())
    assert verify(done.folder).verdict >= Verdict.SIGNED


def _other_region(plan: dict[str, Any]) -> None:
    first = plan["recordings"][0]["pairs"][0]
    first["region"] = [(first["region"][0] + STEP) % 12, *first["region"][1:]]


def _whole(plan: dict[str, Any]) -> None:
    del plan["recordings"][0]["pairs"][0]["region"]


def _drawn_otherwise(plan: dict[str, Any]) -> None:
    plan["regions"]["draw"] = "as the examiner chose"


def _other_seed(plan: dict[str, Any]) -> None:
    """Regions drawn again from a seed that suits, and told of it: as if one refused pair had not been given."""
    plan["regions"]["seed"] = seed = sha256_bytes(b"suits")
    for one in plan["recordings"]:
        for pair in one["pairs"]:
            pair["region"] = list(drawn(seed, pair, *pair["size"]) or ())


def _silent_class(plan: dict[str, Any]) -> None:
    plan["class"] = WORDS


def _said_to_be_whole(plan: dict[str, Any]) -> None:
    plan["regions"] = None


@pytest.mark.parametrize(
    "change", [_other_region, _whole, _drawn_otherwise, _other_seed, _said_to_be_whole, _silent_class]
)
def test_a_region_that_somebody_chose_is_found(real: tuple[Path, FinishedCalibration], change: Any) -> None:
    """The artefact is made to agree with the changed registration: only drawing again tells."""
    _, done = real
    folder = CalibrationFolder(done.folder)
    plan = json.loads(folder.registration.read_bytes())
    change(plan)
    changed = canonical_json(plan)
    artefact = json.loads(folder.calibration.read_bytes()) | {"scenes_sha256": sha256_bytes(changed)}
    artefact["class"] = plan["class"]
    made = parse_calibration(canonical_json(artefact))
    found = contradictions(made, changed, folder.recordings.read_bytes())
    assert found and all("region" in one for one in found)


def test_what_only_looks_like_a_number_is_no_place() -> None:
    pair = _pair(1) | {"size": [48, 40], "region": [0, 0, 48, 40]}
    plan = {"subject": {"region": True}, "class": CLASS + WORDS, "refused": [], "recordings": [{"pairs": [pair]}]}
    plan["regions"] = described(seed_of([pair]))
    assert list(faults(plan)) == []
    pair["region"] = [False, 0, 48, 40]
    assert list(faults(plan)) == ["the region of pair 1 is not the one drawn"]


@pytest.mark.parametrize("column", ["pixels", "short", "long", "quantiser"])
def test_counts_of_another_part_than_the_one_registered_are_found(
    real: tuple[Path, FinishedCalibration], column: str
) -> None:
    """As if whole pictures, or regions that suit, had been measured: the domain's sides would be theirs."""
    _, done = real
    folder = CalibrationFolder(done.folder)
    heading, first, *rest = folder.recordings.read_text("utf-8").splitlines()
    cells = first.split(",")
    place = heading.split(",").index(column)
    cells[place] = "99.0" if column != "pixels" else str(int(cells[place]) + 16)
    changed = "\n".join([heading, ",".join(cells), *rest, ""]).encode()
    artefact = json.loads(folder.calibration.read_bytes()) | {"recordings_sha256": sha256_bytes(changed)}
    made = parse_calibration(canonical_json(artefact))
    found = contradictions(made, folder.registration.read_bytes(), changed)
    told = "do not add up" if column == "pixels" else "is not of the region or picture registered"
    assert any(told in one for one in found)


def test_a_calibration_of_whole_pictures_of_the_same_pairs_counts_as_an_earlier_attempt(
    real: tuple[Path, FinishedCalibration],
) -> None:
    root, done = real
    with open_workspace(root / "ws", lambda: "") as workspace:
        again = calibrate(workspace, CalibrateRequest(root / "pairs", WORDS), Silent())
    own = again.calibration.laboratory
    assert own is not None and own.earlier == 1 and own.seen_before == 4 and not again.calibration.subject.region
    assert again.calibration.class_ == WORDS and done.id != again.id
    told = json.loads(CalibrationFolder(again.folder).registration.read_bytes())["defaults"]
    before = json.loads(CalibrationFolder(done.folder).registration.read_bytes())["defaults"]
    assert "regions: not asked for, whole pictures are measured" in told and not any("regions" in one for one in before)


def _enhance(root: Path, clip: Path, folder: Path, capsys: Any, *more: str) -> tuple[int, Any]:
    command = ["enhance", str(clip), "-w", str(root / "ws"), "--recipe", "light", "--frames", "4:5", "--json"]
    code = run([*command, "--calibration", str(folder), "--quiet", *more])
    told = json.loads(capsys.readouterr().out)
    return code, Path(told["folder"]) if code == 0 else told["error"]["code"]


def test_it_judges_regions_of_interest_and_no_whole_picture(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_pair(tmp_path / "clip", 1, columns=96, rows=64)[1]
    with monkeypatch.context() as patched:
        laboratory.made_up(patched, fails_from=9.0)
        patched.setattr(laboratory, "SIDE", 64)
        with laboratory.workspace(tmp_path / "ws") as workspace:
            pairs = laboratory.manifest(tmp_path / "pairs", 80)
            done = calibrate(workspace, CalibrateRequest(pairs, "Charts", workers=1, regions=True), Silent())
    code, folder = _enhance(tmp_path, clip, done.folder, capsys, "--roi", "16,8,56,48")
    assert code == 0
    envelope = json.loads((folder / "attestation.json").read_bytes())
    risk = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["risk"]
    assert risk["status"] == "CALIBRATED ON THE LABORATORY'S OWN PAIRS"
    assert risk["frames"][0]["summary"]["calibration"]["low_below"] == 8
    assert risk["calibration"]["artefact"]["class"].startswith("One region of 48 to 112 by 40 to 72 recorded pixels")
    assert verify(folder).verdict >= Verdict.SIGNED
    assert _enhance(tmp_path, clip, done.folder, capsys) == (4, "calibration.other-subject")


def test_a_recording_too_small_for_a_region_leaves_nothing_to_calibrate(tmp_path: Path) -> None:
    make_pair(tmp_path / "pairs", 0)
    with laboratory.workspace(tmp_path / "ws") as workspace, pytest.raises(ForensicError) as refused:
        calibrate(workspace, CalibrateRequest(tmp_path / "pairs", WORDS, regions=True), Silent())
    assert refused.value.code == "calibration.no-pairs"
