"""The machinery of the measurements on engines that invent: with a drawn scene and no fetched weights."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from forensic.resources import models_dir
from forensic.stages.catalogue import build
from forensic.stages.pipeline import Pipeline
from tests.fidelity.synthetic import dead_leaves
from tests.generative import engines, judging, package, places
from tests.generative.making import FIDELITY, Made, keep, load, make, vary


def _ways() -> tuple[Pipeline, dict[str, Pipeline]]:
    """An engine that is none: interpolation, sharpened until it invents halos."""
    enlarged = build("resize", {"scale": 4.0, "kernel": "lanczos"})
    sharpened = Pipeline([enlarged, build("unsharp", {"amount": 3.0, "sigma": 3.0})])
    return sharpened, {"beside": Pipeline([enlarged]), "fidelity": Pipeline([enlarged])}


@pytest.fixture(scope="module")
def made() -> Made:
    place = next(place for place in places.listed() if place.kind == "plate")
    engine, stages = _ways()
    return vary(make(place, 1, engine, stages, dead_leaves(240, 320, 5)), engine)


def test_no_place_is_both_chosen_by_and_tested() -> None:
    listed = places.listed()
    assert len({place.sha256 for place in listed}) == len(listed)
    counts = {(kind, split): sum((one.kind, one.split) == (kind, split) for one in listed)
              for kind in ("face", "plate") for split in ("choose", "test")}  # fmt: skip
    assert counts["plate", "test"] >= 40 and sum(counts.values()) == len(listed)
    assert all((place.box is not None) == (place.kind == "face") for place in listed)
    assert all("/test" not in place.collection for place in listed)  # kept for evaluation of models


def test_a_plate_is_drawn_recorded_enlarged_kept_and_judged(made: Made, tmp_path: Path) -> None:
    assert made.output.shape == made.truth.shape == (64, 176) and made.recorded.shape == (16, 44)
    x, y, w, h = made.box
    assert 0 <= x < x + w <= 176 and 0 <= y < y + h <= 64
    keep(tmp_path / "000.npz", made)
    again = load(tmp_path / "000.npz")
    assert np.array_equal(again.output, made.output) and again.spread is not None and again.box == made.box
    place = next(place for place in places.listed() if place.kind == "plate")
    scene = judging.of_scene(place, again)
    assert scene.wrong[16.0].sum() >= scene.wrong[32.0].sum() and scene.wrong[16.0].any()
    assert scene.inside.any() and not scene.inside.all()
    found = judging.row(scene)
    assert found["wrong_16"] == scene.wrong[16.0].sum() and set(found) == set(judging.FIELDS)
    assert any(line.startswith("| plate | 16 |") for line in judging.tables([scene, scene]))


def test_characters_differ_from_place_to_place() -> None:
    place = next(place for place in places.listed() if place.kind == "plate")
    texts = {places.planted(place, number, np.full((240, 320), 90.0, np.float32)).text for number in range(5)}
    assert len(texts) == 5 and not any(mark in text for text in texts for mark in "IOQ")


def test_brightness_is_no_structure_and_characters_are() -> None:
    truth = dead_leaves(64, 64, 3)
    assert judging.structure(truth + 30, truth).max() < 1e-3
    changed = truth.copy()
    changed[30:34] += 60
    assert judging.structure(changed, truth)[30:34].min() > 30


def test_auroc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    score, wrong = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in score[wrong] for b in score[~wrong]]
    assert judging.auroc(score, wrong) == pytest.approx(np.mean(pairs))
    assert np.isnan(judging.auroc(score, np.zeros(60, bool)))


def test_reduction_keeps_flat_pictures_and_their_place() -> None:
    flat = np.full((18, 23, 3), 77, np.uint8)
    whole, small = engines.reduced(flat)
    assert whole.shape == (16, 20, 3) and small.shape == (4, 5, 3) and (small == 77).all()
    ramp = np.repeat((np.arange(64) * 3)[None, :, None], 32, axis=0).repeat(3, axis=2).astype(np.uint8)
    _, reduced = engines.reduced(ramp)
    assert np.abs(reduced[4, 3:-3, 0] - (np.arange(3, 13) * 4 + 1.5) * 3).max() <= 0.5


def test_tables_are_made_of_rows_of_every_engine() -> None:
    row = {"set": "set5", "picture": "a", "megapixels": "0.5", "seconds": "1.0", "memory_mb": "300", "psnr_y": "30.0",
           "ssim_y": "0.8", "lpips": "0.4"}  # fmt: skip
    rows = [row | {"engine": "bicubic"}, row | {"engine": "creative-gan", "lpips": "0.2", "seconds": "9"}]
    rows += [one | {"picture": "b"} for one in rows]
    plain, invented = engines.table(rows)
    assert "| 0.400 | – |" in plain and "-0.200 [-0.200, -0.200]" in invented and "| 18.00 | 300 |" in invented
    both = [one | {"engine": name, "seconds": spent} for one in rows[::2] for name, spent in
            ((package.PACKAGE, "4"), (package.OURS, "2"))]  # fmt: skip
    (line,) = package.told_of(both)
    assert "ratio 0.50 [0.50, 0.50]" in line


def test_engines_are_recipes_and_their_settings_tell_them_apart() -> None:
    bicubic, light = engines.pipeline(engines.BICUBIC), engines.pipeline(FIDELITY)
    assert engines.settings(bicubic) != engines.settings(light)
    picture = engines.frame_of((np.full((40, 40), 90),), "gray")
    assert engines.luma(bicubic.process_window([picture], 0)).shape == (160, 160)


def test_what_is_told_of_planted_places_follows_from_their_table() -> None:
    with (models_dir() / "real-esrgan-x4" / "planted.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    assert {row["place"] for row in rows} == {place.name for place in places.listed("test")}
    told = (Path(__file__).parents[2] / "docs" / "generative-risk.md").read_text(encoding="utf-8")
    for kind in ("plate", "face"):
        own = [row for row in rows if row["place"].startswith(kind)]
        for limit in ("16", "32"):
            wrong, marked = (sum(int(row[name + limit]) for row in own) for name in ("wrong_", "marked_wrong_"))
            assert f"| {kind}s | {limit} | {len(own)} | {wrong} | {marked / wrong:.2f} [" in told


def test_the_table_of_engines_follows_from_the_measurements() -> None:
    docs = Path(__file__).parents[2] / "docs"
    rows = engines.read(docs / "creative" / "engines.csv")
    lines = engines.table(rows)
    assert len(lines) == len(engines.SETS) * len(engines.ENGINES)
    assert "\n".join(lines) in (docs / "creative.md").read_text(encoding="utf-8")
