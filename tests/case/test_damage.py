"""A mask drawn on a still, from the command line to the signed record and the report."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from pypdf import PdfReader

from forensic.case import damage
from forensic.case.layout import RunFolder
from forensic.case.verification.checks import Verification
from forensic.case.verification.damage import check_damage
from forensic.cli.main import cli
from forensic.hashes import sha256_bytes
from forensic.stages.catalogue import STAGES
from forensic.stages.masking import MaskParameters


def _forensic(*arguments: str) -> str:
    done = CliRunner().invoke(cli, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_drawn_mask_goes_to_record_map_and_report(real_clip: Path, tmp_path: Path):
    drawn = np.zeros((144, 176), np.uint8)
    drawn[40:60, 20:50] = 255 * np.random.default_rng(1).integers(0, 2, (20, 30))
    picture, recipe = tmp_path / "mask.png", tmp_path / "masked.toml"
    cv2.imwrite(str(picture), drawn)
    _forensic("mask", str(picture), "--frames", "3:4", "--out", str(recipe))
    output = _forensic(
        "enhance", str(real_clip), "-w", str(tmp_path / "work"), "--recipe", str(recipe), "--frames", "3:5", "--quiet"
    )
    folder = Path(output.splitlines()[-1])
    record = json.loads((folder / "attestation.json").read_bytes())
    notes = [json.loads(line)["notes"][0] for line in (folder / "notes.jsonl").read_text("utf-8").splitlines()]
    assert notes[0]["mask"]["marked_by_user"] == np.count_nonzero(drawn) and notes[1]["mask"]["marked_by_user"] == 0
    assert notes[0]["mask"]["picture_sha256"] == sha256_bytes(picture.read_bytes())
    assert (folder / "recipe.toml").read_bytes() == recipe.read_bytes()
    regions = json.loads((folder / "risk" / "regions.json").read_bytes())
    frame = next(one for one in regions["frames"] if one["frame"] == 3)
    assert frame["summary"]["replaced"]["filled from other frames"]["tiles"] > 0
    assert any(one["driver"] == "filled from other frames" and one["level"] == "HIGH" for one in frame["regions"])
    text = " ".join(page.extract_text() for page in PdfReader(folder / "report.pdf").pages)
    assert "Damage, over all frames" in text and "filled from other frames" in text
    assert "whole in recipe.toml" in " ".join(text.split())
    (sums,) = json.loads(base64.b64decode(record["payload"]))["predicate"]["damage"]
    assert sums["stage"] == {"position": 1, "name": "fill-from-neighbours"} and sums["frames"] == 2
    assert sums["mask_pictures"] == [sha256_bytes(picture.read_bytes())]
    assert sums["pixels_filled"] + sums["pixels_left"] == sums["pixels"] == sum(n["mask"]["pixels"] for n in notes)
    _forensic("verify", str(folder))
    predicate = json.loads(base64.b64decode(record["payload"]))["predicate"]
    forged = {**predicate, "damage": [{**sums, "pixels_marked_by_user": 0}]}
    silent = {name: value for name, value in predicate.items() if name != "damage"}
    for told, sound in ((predicate, True), (forged, False), (silent, False)):
        found = Verification(str(folder), "run")
        check_damage(found, RunFolder(folder), told)
        assert [(check.number, check.passed) for check in found.checks] == [("A9", sound)]


def test_every_stage_with_a_mask_is_one_whose_damage_is_told() -> None:
    assert {stage.name for stage in STAGES if issubclass(stage.parameter_model, MaskParameters)} == damage.STAGES


@pytest.mark.parametrize(
    ("recipe", "name", "code"),
    [
        ("classic", "mask.png", "mask.no-stage"),
        ("fill", "none.png", "mask.unreadable"),
        ("fill", "gif.png", "mask.picture"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(recipe, name, code, tmp_path: Path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.zeros((8, 8), np.uint8))
    (tmp_path / "gif.png").write_bytes(b"GIF89a")
    out = tmp_path / "made.toml"
    done = CliRunner().invoke(cli, ["mask", str(tmp_path / name), "--recipe", recipe, "--out", str(out)])
    assert done.exit_code != 0 and not out.exists()
    assert getattr(done.exception, "code", code) == code


def test_a_recipe_that_exists_is_not_written_over(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.zeros((8, 8), np.uint8))
    out = tmp_path / "made.toml"
    out.write_text("mine")
    done = CliRunner().invoke(cli, ["mask", str(tmp_path / "mask.png"), "--out", str(out)])
    assert done.exit_code != 0 and out.read_text() == "mine"
