"""``--scale`` takes the learned recipe's model for that scale: in the run, on the record, the same for any workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from tests.case.conftest import Case, forensic

WORKERS = {2: 1, 1: 2}
SIZE = {"light": (64, 48), "multi": (32, 24)}  # pixels that are cut out


@pytest.fixture(scope="module", params=[(recipe, scale) for recipe in SIZE for scale in sorted(WORKERS)])
def scaled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, real_clip: Path) -> Case:
    root = tmp_path_factory.mktemp("scaled") / "ws"
    recipe, scale = request.param
    width, height = SIZE[recipe]
    done = forensic(
        "enhance", real_clip, "-w", root, "--recipe", recipe, "--scale", scale, "--frames", "40:42",
        "--roi", f"32,24,{width},{height}", "--workers", WORKERS[scale],
    )  # fmt: skip
    assert done.code == 0, done.err
    return Case(root, Path(done.last_line))


def test_which_model_was_taken_is_in_record_and_ledger(scaled: Case) -> None:
    record = scaled.predicate()
    recipe = record["recipe"]["name"]
    stage = next(one for one in record["recipe"]["stages"] if one["model"])
    scale = int(stage["scale"])
    assert stage["name"] == {"light": "learned-upscale", "multi": "refined-fusion"}[recipe]
    changes = {
        one["parameter"]: (one["was"], one["value"]) for one in record["recipe"]["overrides"] if one["by"] == "--scale"
    }
    left_out = ("in the recipe", None) if recipe == "multi" else None  # learned-colour has no model for these
    assert changes.pop("stage", None) == left_out
    assert changes.pop("model") == (f"{recipe}-x4", stage["model"]["id"]) == (f"{recipe}-x4", f"{recipe}-x{scale}")
    assert changes == ({"scale": (4, scale)} if recipe == "multi" else {})
    (model,) = record["models"]
    assert model["id"] == f"{recipe}-x{scale}" and model["sibling_of"] == f"{recipe}-x4"
    made = record["output"]["geometry"]
    width, height = SIZE[recipe]
    assert (made["width"], made["height"]) == (width * scale, height * scale)
    started = next(one for one in forensic("log", "-w", scaled.root, "--json").json if one["name"] == "run.started")
    assert f"{recipe}-x{scale}" in str(started["data"])


def test_the_run_verifies_and_is_the_same_again_with_other_workers(scaled: Case) -> None:
    assert verify(scaled.root).verdict is not Verdict.FAILED
    again = forensic("reproduce", scaled.run_id, "-w", scaled.root)
    assert again.code == 0, again.out + again.err


@pytest.mark.parametrize("recipe", sorted(SIZE))
def test_a_scale_without_a_model_is_refused_and_that_is_on_the_record(
    recipe: str, tmp_path: Path, real_clip: Path
) -> None:
    done = forensic("enhance", real_clip, "-w", tmp_path, "--recipe", recipe, "--scale", "3", "--frames", "40:41")
    assert done.code == 2 and "recipe.scale" in done.err and "--scale 1, 2, 4" in done.err
    assert forensic("log", "-w", tmp_path, "--json").json[-1]["name"] == "run.refused"
