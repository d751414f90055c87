"""The files of a risk map, read back with another library."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from forensic.errors import InternalError, StorageFailed
from forensic.frames.stageclass import StageClass
from forensic.hashes import parse_canonical
from forensic.risk.assessment import assess
from forensic.risk.dihedral import Dispersion
from forensic.risk.files import RiskPaths, risk_record, write_maps, write_regions
from forensic.risk.overlay import GENERATIVE_LABEL, TITLE, draw_overlay
from forensic.risk.selection import frames_to_map
from forensic.risk.tiles import Level


def _paths(folder, index=7):
    return RiskPaths(*(folder / f"{index:06d}.{kind}.png" for kind in ("risk", "level", "overlay")))


def _marked(coded, stage_class=StageClass.FIDELITY, index=7):
    """A flat frame with a MEDIUM quarter, a HIGH quarter, LOW elsewhere; 500x300, border tiles cut."""
    frame = coded(np.full((300, 500), 120), stage_class=stage_class, index=index)
    spread = np.zeros((300, 500), np.float32)
    spread[64:128, 64:256] = 6.0
    spread[160:224, 64:256] = 400.0
    return frame, assess(frame.to_working(), frame, dispersion=Dispersion(spread, ("0", "90")))


def test_pictures_read_back_to_the_risk_and_the_levels(tmp_path, coded):
    frame, assessment = _marked(coded)
    paths = _paths(tmp_path)
    write_maps(paths, assessment, frame)
    with Image.open(paths.risk) as picture:
        units = np.array(picture)
        assert picture.mode == "I;16"
        assert picture.text["Title"] == TITLE
        assert "UNCALIBRATED" in picture.text["Description"]
    assert units.shape == (300, 500)
    inside = assessment.risk < 255
    assert (units[inside] / 256 >= assessment.risk[inside]).all()
    assert (units[inside] / 256 - assessment.risk[inside]).max() <= 1 / 256
    assert (units[170:210, 80:240] == 65534).all()
    clipped = int(np.count_nonzero(units == 65534))
    assert assessment.summary()["risk_png"]["clipped_pixels"] == clipped == 64 * 192
    with Image.open(paths.level) as picture:
        levels = np.array(picture)
        assert picture.mode == "L"
        assert "UNCALIBRATED" in picture.text["Description"]
    assert levels.shape == (300, 500)
    assert set(np.unique(levels)) == {0, 1, 2}
    assert (levels[64:128, 64:256] == 1).all()
    assert (levels[160:224, 64:256] == 2).all()
    assert not list(tmp_path.glob("*.part"))


def test_same_frame_same_bytes(tmp_path, coded):
    digests = []
    for attempt in ("a", "b"):
        folder = tmp_path / attempt
        folder.mkdir()
        frame, assessment = _marked(coded)
        write_maps(_paths(folder), assessment, frame)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())])
    assert digests[0] == digests[1]


def test_not_assessed_is_not_zero(tmp_path, coded, smooth_scene):
    frame = coded(smooth_scene(90, 90))
    assessment = assess(coded(smooth_scene(60, 60)).to_working(), frame)
    paths = _paths(tmp_path)
    write_maps(paths, assessment, frame)
    assert (np.array(Image.open(paths.risk)) == 65535).all()
    assert (np.array(Image.open(paths.level)) == 255).all()


def test_levels_are_told_apart_without_colour(coded):
    frame, assessment = _marked(coded)
    grey = np.array(Image.fromarray(draw_overlay(assessment, frame)).convert("L")).astype(float)
    low, medium, high = grey[240:290, 300:480], grey[80:112, 96:240], grey[180:208, 96:240]
    assert low.std() == 0.0
    assert medium.std() > 20
    assert high.std() > 20
    dark = [np.mean(part < 20) for part in (medium, high)]  # share of black lines
    assert dark[1] > dark[0] + 0.2


def test_the_picture_in_the_overlay_keeps_the_output_s_coordinates(coded):
    frame, assessment = _marked(coded)
    overlay = draw_overlay(assessment, frame)
    assert overlay.shape[1] == 500
    assert overlay.shape[0] > 300
    colour = overlay.max(axis=-1).astype(int) - overlay.min(axis=-1)
    rows, columns = np.nonzero(colour[:300])
    assert (rows.min(), columns.min(), rows.max(), columns.max()) == (64, 64, 223, 255)


def test_small_outputs_are_enlarged_to_be_readable(coded, smooth_scene):
    frame = coded(smooth_scene(30, 41))
    overlay = draw_overlay(assess(frame.to_working(), frame), frame)
    assert overlay.shape[1] == 41 * 12
    assert overlay.shape[0] > 30 * 12


def test_the_legend_says_uncalibrated_where_it_is_not_blank(coded, monkeypatch):
    written = []
    real = cv2.putText
    monkeypatch.setattr(
        cv2, "putText", lambda canvas, text, *rest: (written.append(text), real(canvas, text, *rest))[1]
    )
    frame, assessment = _marked(coded)
    draw_overlay(assessment, frame)
    words = " ".join(written)
    assert TITLE in words
    assert "does not mean that the picture is true or complete" in words
    assert GENERATIVE_LABEL not in words
    assert "1" in written
    assert "2" in written


def test_a_generative_frame_is_labelled_in_picture_legend_and_metadata(tmp_path, coded):
    frame, assessment = _marked(coded, StageClass.GENERATIVE)
    plain_frame, plain = _marked(coded)
    paths = _paths(tmp_path)
    write_maps(paths, assessment, frame)
    for path in (paths.risk, paths.level, paths.overlay):
        with Image.open(path) as picture:
            picture.load()
            assert GENERATIVE_LABEL in picture.text["Description"]
    overlay = np.array(Image.open(paths.overlay))
    middle = overlay[140:165]
    assert (middle == 255).all(axis=-1).mean() > 0.05  # white letters
    assert (middle == 0).all(axis=-1).mean() > 0.3  # on black
    assert (draw_overlay(plain, plain_frame)[140:165] == 0).all(axis=-1).mean() < 0.1
    assert (np.array(Image.open(paths.level)) == Level.HIGH).all()


def test_maps_are_not_written_for_another_frame_or_a_raised_class(tmp_path, coded):
    _, assessment = _marked(coded)
    for other in (_marked(coded, index=8)[0], _marked(coded, StageClass.GENERATIVE)[0]):
        with pytest.raises(InternalError) as caught:
            write_maps(_paths(tmp_path), assessment, other)
        assert caught.value.code == "risk.frame-mismatch"
    assert list(tmp_path.iterdir()) == []


def test_storage_trouble_is_worded(tmp_path, coded):
    frame, assessment = _marked(coded)
    with pytest.raises(StorageFailed) as caught:
        write_maps(_paths(tmp_path / "missing"), assessment, frame)
    assert caught.value.code == "risk.write"
    with pytest.raises(StorageFailed):
        write_regions(tmp_path / "missing" / "regions.json", {})


def test_regions_json_is_canonical_and_complete(tmp_path, coded):
    records = []
    for index in (3, 4):
        _, assessment = _marked(coded, index=index)
        records.append(assessment.to_record())
    selection = frames_to_map([3, 4])
    names = {3: {"risk": "000003.risk.png"}}
    path = tmp_path / "regions.json"
    write_regions(path, risk_record(records, selection, names))
    value = parse_canonical(path.read_bytes())
    assert value == json.loads(path.read_text())
    assert value["status"] == "UNCALIBRATED"
    assert value["statement"] == TITLE
    assert value["selection"] == {"frames": [3, 4], "rule": selection.rule}
    assert [entry["frame"] for entry in value["frames"]] == [3, 4]
    assert value["frames"][0]["files"] == {"risk": "000003.risk.png"}
    assert value["thresholds"]["high"] == 10.0
    assert value["forward_model"]["scale"] == 1
    high, medium = value["frames"][0]["regions"]
    assert (high["number"], high["level"], high["tiles"]) == (1, "HIGH", 48)
    assert (medium["number"], medium["level"], medium["tiles"]) == (2, "MEDIUM", 48)
    assert high["driver"] == "self-ensemble dispersion"
    assert value["frames"][0]["regions_not_listed"] == 0


def test_facts_that_frames_do_not_share_are_not_claimed_for_all(coded, smooth_scene):
    one = coded(smooth_scene(64, 64))
    same = assess(one.to_working(), one).to_record()
    two = assess(one.to_working(), coded(smooth_scene(128, 128))).to_record()
    selection = frames_to_map([7])
    assert risk_record([same, two], selection)["forward_model"] is None
    assert risk_record([], selection)["thresholds"] is None
