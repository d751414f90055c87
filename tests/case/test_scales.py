"""``--scale`` takes the learned recipe's model for that scale: in the run, on the record, the same for any workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from tests.case.conftest import Case, forensic

WORKERS = {2: 1, 1: 2}


@pytest.fixture(scope="module", params=sorted(WORKERS))
def scaled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, real_clip: Path) -> Case:
    root = tmp_path_factory.mktemp("scaled") / "ws"
    done = forensic(
        "enhance", real_clip, "-w", root, "--recipe", "light", "--scale", request.param, "--frames", "40:42",
        "--roi", "32,24,64,48", "--workers", WORKERS[request.param],
    )  # fmt: skip
    assert done.code == 0, done.err
    return Case(root, Path(done.last_line))


def test_which_model_was_taken_is_in_record_and_ledger(scaled: Case) -> None:
    record = scaled.predicate()
    (change,) = [one for one in record["recipe"]["overrides"] if one["by"] == "--scale"]
    stage = next(one for one in record["recipe"]["stages"] if one["name"] == "learned-upscale")
    scale = int(stage["scale"])
    assert change["parameter"] == "model" and change["was"] == "light-x4"
    assert change["value"] == stage["model"]["id"] == f"light-x{scale}"
    (model,) = record["models"]
    assert model["id"] == f"light-x{scale}" and model["sibling_of"] == "light-x4"
    made = record["output"]["geometry"]
    assert (made["width"], made["height"]) == (64 * scale, 48 * scale)
    started = next(one for one in forensic("log", "-w", scaled.root, "--json").json if one["name"] == "run.started")
    assert f"light-x{scale}" in str(started["data"])


def test_the_run_verifies_and_is_the_same_again_with_other_workers(scaled: Case) -> None:
    assert verify(scaled.root).verdict is not Verdict.FAILED
    again = forensic("reproduce", scaled.run_id, "-w", scaled.root)
    assert again.code == 0, again.out + again.err


def test_a_scale_without_a_model_is_refused_and_that_is_on_the_record(tmp_path: Path, real_clip: Path) -> None:
    done = forensic("enhance", real_clip, "-w", tmp_path, "--recipe", "light", "--scale", "3", "--frames", "40:41")
    assert done.code == 2 and "recipe.scale" in done.err and "--scale 1, 2, 4" in done.err
    assert forensic("log", "-w", tmp_path, "--json").json[-1]["name"] == "run.refused"
