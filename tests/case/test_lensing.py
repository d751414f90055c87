"""``forensic lens``: marks and estimate are on the record, printed with uncertainties and as recipe lines that run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from forensic.case.lensing import _spaced, lens_from_lines
from forensic.case.workspace import open_workspace
from forensic.errors import UsageError
from forensic.stages.lens import Lens
from forensic.stages.recipe import parse_recipe
from tests.case.conftest import forensic

TRUE = Lens((87.5, 71.5), (float(np.hypot(176, 144)) / 2,) * 2, k1=-0.12)


def _marks() -> list[str]:
    """Places along six straight things as the lens shows them, off by 0.1 pixel."""
    generator, lines = np.random.default_rng(1), []
    for y in (12.0, 30.0, 118.0, 132.0):
        x = np.linspace(18.0, 156.0, 9)
        lines.append(TRUE.recorded(x, np.full_like(x, y)))
    for x in (14.0, 162.0):
        y = np.linspace(20.0, 125.0, 9)
        lines.append(TRUE.recorded(np.full_like(y, x), y))
    told = []
    for across, down in lines:
        places = np.stack([across, down], axis=1) + generator.normal(0, 0.1, (across.size, 2))
        told.append(" ".join(f"{x:.2f},{y:.2f}" for x, y in places))
    return told


def test_a_lens_is_estimated_from_marks_and_the_printed_recipe_corrects_it(tmp_path: Path, real_clip: Path) -> None:
    options = [part for line in _marks() for part in ("--line", line)]
    done = forensic("lens", real_clip, "-w", tmp_path / "ws", *options)
    assert done.code == 0, done.err
    assert "k1        -0.1" in done.out and "standard uncertainty" in done.out
    assert "centre_x  87.5, taken, not estimated" in done.out
    stage = done.out[done.out.index("[[stage]]") : done.out.rindex("entry ")]
    recipe = parse_recipe(f'name = "l"\ntitle = "L"\nwhy = "Lens."\n\n{stage}'.encode(), "test")
    assert recipe.steps[0].name == "undistort"
    assert recipe.steps[0].parameters["k1"] == pytest.approx(TRUE.k1, abs=0.01)
    path = tmp_path / "lens.toml"
    path.write_text(f'name = "l"\ntitle = "L"\nwhy = "Lens."\n\n{stage}', encoding="utf-8")
    run = forensic("enhance", real_clip, "-w", tmp_path / "ws", "--recipe", path, "--frames", "0:1")
    assert run.code == 0, run.err
    (entry,) = [one for one in forensic("log", "-w", tmp_path / "ws", "--json").json if "lens-est" in one["name"]]
    assert "straight lines" in entry["summary"]


def test_the_estimate_as_json_holds_marks_parameters_and_uncertainties(tmp_path: Path, real_clip: Path) -> None:
    options = [part for line in _marks() for part in ("--line", line)]
    found = forensic("lens", real_clip, "-w", tmp_path / "ws", "--json", *options).json
    assert len(found["lines"]) == 6 and found["lens"]["marks"] == 54
    assert abs(found["lens"]["parameters"]["k1"] - TRUE.k1) < 4 * found["lens"]["standard_uncertainty"]["k1"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ((), 2),
        (("--line", "1,2 3,4 5,6", "--board", "9x6"), 2),
        (("--line", "nonsense"), 2),
        (("--line", "nan,nan 1,2 3,4"), 2),
        (("--line", "1,2 3,4 5,6", "--frames", "0:3"), 2),
        (("--board", "9x6", "--centre"), 2),
        (("--board", "9"), 2),
        (("--line", "1,2 3,4 5,6"), 4),
        (("--line", "1,2 3,4 5000,6 7,8 9,10 11,12"), 4),
        (("--board", "9x6", "--frames", "0:3"), 4),
    ],
)
def test_marks_that_fix_no_lens_are_refused(tmp_path: Path, real_clip: Path, asked: tuple[str, ...], code: int) -> None:
    done = forensic("lens", real_clip, "-w", tmp_path / "ws", *asked)
    assert done.code == code, done.err
    if code == 4:
        names = [one["name"] for one in forensic("log", "-w", tmp_path / "ws", "--json").json]
        assert names[-1] == "exhibit.lens-failed"


def test_options_that_would_be_ignored_are_refused_by_name(tmp_path: Path, real_clip: Path) -> None:
    for asked in (("--line", "1,2 3,4 5,6", "--frames", "0:3"), ("--board", "9x6", "--centre")):
        assert "lens.options" in forensic("lens", real_clip, "-w", tmp_path / "ws", *asked).err


def test_marks_that_are_no_numbers_are_refused_before_anything_is_recorded() -> None:
    with pytest.raises(UsageError) as refusal:
        lens_from_lines(None, None, [((float("nan"), 1.0), (2.0, 3.0))], 1, False)  # type: ignore[arg-type]
    assert refusal.value.code == "lens.marks"


@pytest.mark.parametrize("count", [1, 3, 19, 20, 21, 30, 39, 40, 250])
def test_up_to_twenty_frames_evenly_spaced_are_looked_at(count: int) -> None:
    chosen = _spaced(100, 100 + count)
    assert len(chosen) == min(count, 20) and chosen[0] >= 100 and chosen[-1] < 100 + count
    steps = {later - earlier for earlier, later in pairwise(chosen)}
    assert not steps or (min(steps) >= 1 and max(steps) - min(steps) <= 1)
    assert abs((chosen[0] - 100) - (99 + count - chosen[-1])) <= 1, "as far from the beginning as from the end"


def test_which_frames_were_looked_at_is_on_the_record(tmp_path: Path, real_clip: Path) -> None:
    forensic("lens", real_clip, "-w", tmp_path / "ws", "--board", "9x6", "--frames", "10:40")
    with open_workspace(tmp_path / "ws", None) as workspace:
        (entry,) = [one for one in workspace.ledger.entries() if one.event == "exhibit.lens-failed"]
    assert entry.data["looked_at"] == _spaced(10, 40)
