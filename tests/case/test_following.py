"""``--roi X,Y,W,H@FRAME --track``: the track is on the record, the recipe follows it, and both can be checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensic.case import enhance as enhancing
from forensic.case.acquire import acquire
from forensic.case.ending import Terminated
from forensic.case.enhance import enhance
from forensic.case.following import follow_region
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.resume import resume
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace
from forensic.errors import BadInput, Interrupted, UsageError
from forensic.frames.still import read_still
from tests.case.conftest import Case, forensic
from tests.case.threeframes import THREE_FRAMES


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, real_clip: Path) -> Case:
    root = tmp_path_factory.mktemp("followed") / "ws"
    done = forensic("enhance", real_clip, "-w", root, "--recipe", "fuse", "--roi", "64,40,48,40@60", "--track")
    assert done.code == 0, done.err
    return Case(root, Path(done.last_line))


def test_a_tracked_still_is_of_the_marked_frame_and_its_track_on_the_record(followed: Case) -> None:
    predicate = followed.predicate()
    assert (predicate["output"]["frames"]["count"], predicate["output"]["frames"]["first"]) == (1, 60)
    assert predicate["output"]["geometry"]["width"] == 96
    tracking = predicate["tracking"]
    points = {point["frame"]: point for point in tracking["track"]["points"]}
    assert points[60]["score"] == 1.0
    assert (points[60]["x"], points[60]["y"]) == (64 + 47 / 2, 40 + 39 / 2)
    assert set(points) | set(tracking["track"]["lost"]) == set(range(44, 77))
    (entry,) = [
        one for one in forensic("log", "-w", followed.root, "--json").json if one["seq"] == tracking["entry"]["seq"]
    ]
    assert entry["name"] == "exhibit.region-tracked"
    assert "found in" in entry["summary"]
    stages = [stage["name"] for stage in predicate["recipe"]["stages"]]
    assert stages == ["follow", "fusion"]
    assert predicate["recipe"]["name"] == "tracked-fuse"
    assert predicate["selection"]["roi_frame"] == 60


def test_every_position_is_a_parameter_that_can_be_checked(followed: Case) -> None:
    predicate = followed.predicate()
    given = predicate["recipe"]["stages"][0]["parameters"]["points"]["value"]
    tracked = [[p["frame"], round(p["x"], 2), round(p["y"], 2)] for p in predicate["tracking"]["track"]["points"]]
    assert given == sorted(tracked)
    fusing = predicate["recipe"]["stages"][1]["parameters"]
    fitted = [p["frame"] for p in predicate["tracking"]["track"]["points"] if p["registered"]]
    assert fusing["registration"]["value"] == "homography"
    assert [motion[0] for motion in fusing["motions"]["value"]] == fitted
    marked = next(motion for motion in fusing["motions"]["value"] if motion[0] == 60)
    assert marked[1:] == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_a_tracked_run_verifies_reproduces_and_is_assessed(followed: Case) -> None:
    assert verify(followed.root).verdict is not Verdict.FAILED
    again = forensic("reproduce", followed.run_id, "-w", followed.root)
    assert again.code == 0, again.out + again.err
    read_still((followed.run / "stills" / "000060.png").read_bytes())
    assert followed.predicate()["risk"]["frames"][0]["summary"]["assessed"]


@pytest.mark.parametrize("asked", [("--roi", "1,2,30,40@3"), ("--track",), ("--roi", "1,2,30,40", "--track")])
def test_a_region_is_tracked_only_if_both_are_said(tmp_path: Path, real_clip: Path, asked: tuple[str, ...]) -> None:
    done = forensic("enhance", real_clip, "-w", tmp_path / "ws", *asked)
    assert done.code == 2
    assert "--track" in done.err


@pytest.mark.parametrize(
    ("region", "at", "frames", "error"),
    [
        ((0, 0, 4, 4), 60, (60, 61), BadInput),
        ((170, 10, 48, 48), 60, (60, 61), BadInput),
        ((64, 40, 48, 40), 100, (10, 20), UsageError),
        ((64, 40, 48, 40), 500, (60, 61), UsageError),
    ],
    ids=["too-small", "outside", "marked-elsewhere", "no-such-frame"],
)
def test_what_cannot_be_followed_is_refused_on_the_record(
    tmp_path: Path, real_clip: Path, region: tuple[int, int, int, int], at: int, frames: tuple[int, int], error: type
) -> None:
    with create_workspace(tmp_path / "ws", examiner="Ada", lab="L", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, real_clip, case="C", exhibit_id="X", note=None, progress=Silent())
        with pytest.raises(error):
            follow_region(workspace, exhibit, region, at, frames, Silent())
        last = list(workspace.ledger.entries())[-1]
        assert last.event == "exhibit.tracking-failed"
        assert last.data["region"] == list(region)


def test_a_proposed_recipe_can_follow_too_and_a_range_is_made_whole(tmp_path: Path, real_clip: Path) -> None:
    with create_workspace(tmp_path / "ws", examiner="Ada", lab="L", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, real_clip, case="C", exhibit_id="X", note=None, progress=Silent())
        request = EnhanceRequest(recipe="auto", roi=(64, 40, 32, 32), roi_frame=61, frames=(60, 63), scale=2)
        run = enhance(workspace, exhibit, request, Silent())
        assert run.predicate["recipe"]["name"].startswith("tracked-auto-")
        assert run.predicate["output"]["frames"]["count"] == 3
        assert run.predicate["estimation"]["entry"]["seq"] < run.predicate["tracking"]["entry"]["seq"]


def test_a_run_whose_recipe_was_made_for_it_is_resumed_with_the_same_recipe(
    tmp_path: Path, real_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe's text is among the run's terms: nothing is measured or tracked anew, and the bytes are the same."""

    def ended(*_: object, **__: object) -> None:
        raise Terminated

    request = EnhanceRequest(recipe="auto", roi=(64, 40, 32, 32), roi_frame=61, frames=(60, 62), scale=2)
    with create_workspace(tmp_path / "ws", examiner="Ada", lab="L", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, real_clip, case="C", exhibit_id="X", note=None, progress=Silent())
        whole = enhance(workspace, exhibit, request, Silent())
        with monkeypatch.context() as patched:
            patched.setattr(enhancing, "execute", ended)
            with pytest.raises(Interrupted):
                enhance(workspace, exhibit, request, Silent())
        (begun,) = workspace.ledger.unfinished_runs()
        surveys = [entry.seq for entry in workspace.ledger.entries(event="exhibit.surveyed")]
        resumed = resume(workspace, str(begun.run), Silent())
        assert [entry.seq for entry in workspace.ledger.entries(event="exhibit.surveyed")] == surveys
        assert resumed.predicate["estimation"]["entry"]["seq"] == begun.data["made_from"]["survey"]
        assert resumed.predicate["tracking"]["entry"]["seq"] == begun.data["made_from"]["track"]
        assert resumed.predicate["output"]["sha256"] == whole.predicate["output"]["sha256"]
    assert verify(tmp_path / "ws").verdict is not Verdict.FAILED


def test_a_tracked_still_is_made_at_the_scale_that_was_asked_for(tmp_path: Path, real_clip: Path) -> None:
    three = tmp_path / "three.toml"
    three.write_text(THREE_FRAMES)
    with create_workspace(tmp_path / "ws", examiner="Ada", lab="L", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, real_clip, case="C", exhibit_id="X", note=None, progress=Silent())
        request = EnhanceRequest(recipe=str(three), roi=(64, 40, 24, 20), roi_frame=61, scale=2)
        run = enhance(workspace, exhibit, request, Silent())
    assert run.predicate["output"]["geometry"]["width"] == 48
    assert [one["id"] for one in run.predicate["models"]] == ["multi-x2"]
    assert [stage["name"] for stage in run.predicate["recipe"]["stages"]] == ["follow", "refined-fusion"]
    assert verify(tmp_path / "ws").verdict is not Verdict.FAILED
