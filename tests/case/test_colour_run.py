"""Restoration of colour in a run: on the record, luma untouched, the same for any workers and after a kill."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import open_workspace
from tests.case.conftest import Case, forensic
from tests.kills import child_enhance, contents, finish, start
from tests.kills.breaking import acquired, break_off  # noqa: F401 - a fixture

# pytest finds fixtures by name.
# ruff: noqa: F811

FRAMES = 3
LUMA_ALONE = """
name = "luma-alone"
title = "The recipe single without its last stage"
why = "To compare with."
[[stage]]
name = "learned-upscale"
why = "As in the recipe."
parameters = { model = "single-x4", tile = 256, overlap = 29, chroma_kernel = "lanczos" }
"""


def run(tmp: Path, acquired: Path, asked: dict[str, Any]) -> Case:
    root = tmp / "ws"
    shutil.copytree(acquired, root)
    finish(start(child_enhance, root, "X", {"frames": (1, 1 + FRAMES), "roi": (32, 24, 48, 32), **asked}))
    (made,) = (root / "runs").iterdir()
    return Case(root, made)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory, acquired: Path) -> Case:
    return run(tmp_path_factory.mktemp("coloured"), acquired, {"recipe": "single", "workers": 2})


def test_both_models_and_every_frames_change_are_on_the_record(coloured: Case) -> None:
    record = coloured.predicate()
    assert [each["name"] for each in record["recipe"]["stages"]] == ["crop", "learned-upscale", "learned-colour"]
    assert {each["id"] for each in record["models"]} == {"single-x4", "colour-x4"}
    lines = [json.loads(line) for line in (coloured.run / "notes.jsonl").read_text().splitlines()]
    told = [note["colour"] for line in lines for note in line["notes"] if note["stage"] == "learned-colour"]
    assert len(told) == FRAMES and all(each["restored"] and each["change"]["cb"]["rms"] > 0 for each in told)
    assert verify(coloured.root).verdict is not Verdict.FAILED


def planes(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """Luma, and both chroma planes below each other, of every frame of the run's video."""
    (video,) = case.run.glob("*.mkv")
    found = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            whole = frame.to_ndarray()
            assert frame.format.name == "yuv420p"
            found.append((whole[: frame.height], whole[frame.height :]))
    return found


def test_luma_is_that_of_the_recipe_without_the_stage_and_colour_is_not(
    coloured: Case, acquired: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "luma-alone.toml"
    recipe.write_text(LUMA_ALONE, encoding="utf-8")
    alone = run(tmp_path, acquired, {"recipe": str(recipe), "workers": 1})
    for (luma, colour), (other_luma, other_colour) in zip(planes(coloured), planes(alone), strict=True):
        assert np.array_equal(luma, other_luma) and not np.array_equal(colour, other_colour)


def test_the_run_is_the_same_with_other_workers_after_a_kill_and_when_reproduced(
    coloured: Case, acquired: Path, tmp_path: Path
) -> None:
    asked = {"recipe": "single", "roi": (32, 24, 48, 32), "frames": (1, 1 + FRAMES), "workers": 1}
    root = tmp_path / "ws"
    shutil.copytree(acquired, root)
    break_off(2, child_enhance, root, "X", asked)
    with open_workspace(root, None) as work:
        (begun,) = work.ledger.unfinished_runs()
    done = forensic("resume", begun.run, "-w", root)
    assert done.code == 0, done.err
    assert contents(Path(done.last_line)) == contents(coloured.run)
    again = forensic("reproduce", coloured.run_id, "-w", coloured.root)
    assert again.code == 0, again.out + again.err
