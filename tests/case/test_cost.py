"""What a run costs is measured, estimated before where there is something to estimate by, and nothing is made up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from forensic.case import enhance as enhancing
from forensic.case import estimating
from forensic.case.cost import Cost, Meter, metering, peak_memory, seconds
from forensic.case.ending import Terminated
from forensic.case.enhance import enhance, exhibit_for
from forensic.case.estimating import GONE_ON_WITH, Estimate
from forensic.case.exhibits import Exhibit
from forensic.case.parts import earlier, foretold
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.resume import resume
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput, Interrupted, StorageFailed
from forensic.ledger.entry import LedgerEntry


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        """Keep it."""
        self.lines.append(message)

    def starting(self, words: str) -> str:
        """The one line that starts with ``words``."""
        (line,) = (line for line in self.lines if line.startswith(words))
        return line


def _counter(folder: Path, name: str, now: int, largest: int) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "max_energy_range_uj").write_text(f"{largest}\n")
    (folder / name / "energy_uj").write_text(f"{now}\n")
    return folder / name / "energy_uj"


def test_counters_of_packages_are_added_come_round_and_their_parts_are_not_counted_twice(tmp_path: Path) -> None:
    one = _counter(tmp_path, "intel-rapl:0", 3_600_000_000, 3_999_999_999)
    two = _counter(tmp_path, "intel-rapl:1", 0, 3_999_999_999)
    part = _counter(tmp_path, "intel-rapl:0:0", 0, 3_999_999_999)
    with metering(tmp_path) as meter:
        one.write_text("200000000")  # came round: 0.6 Gµj further
        meter.look()
        one.write_text("800000000")
        two.write_text("600000000")
        part.write_text("900000000")
        cost = meter.cost()
    assert cost.energy_wh == pytest.approx((0.6e9 + 0.6e9 + 0.6e9) / 3.6e9)
    assert "0.5 Wh" in cost.sentence


@pytest.mark.parametrize("fault", ["none", "garbage", "taken-away"])
def test_energy_that_cannot_be_read_is_said_to_be_not_readable(tmp_path: Path, fault: str) -> None:
    if fault != "none":
        file = _counter(tmp_path, "intel-rapl:0", 5, 100)
    if fault == "garbage":
        file.write_text("many")
    meter = Meter(tmp_path)
    if fault == "taken-away":
        file.unlink()
    cost = meter.cost()
    assert cost.energy_wh is None and cost.to_record()["energy_wh"] is None
    assert "energy not readable" in cost.sentence


def test_processor_time_counts_helpers_that_have_ended() -> None:
    meter = Meter()
    subprocess.run(["python3", "-c", "sum(range(3_000_000))"], check=True)
    cost = meter.cost()
    assert cost.processor_s > 0.02 and cost.wall_s > 0.02
    assert cost.peak_memory_bytes == peak_memory() and peak_memory() is not None


def test_spans_are_said_in_words() -> None:
    assert [seconds(value) for value in (0.034, 7.26, 59.6, 600, 9000)] == [
        "0.034 s",
        "7.3 s",
        "60 s",
        "10 min",
        "2.5 h",
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


@pytest.fixture
def exhibit(workspace: Workspace, real_clip: Path) -> Exhibit:
    return exhibit_for(workspace, str(real_clip), Silent())


def test_the_cost_is_recorded_and_the_next_run_of_the_same_stages_estimated_by_it(
    workspace: Workspace, exhibit: Exhibit
) -> None:
    asked, heard = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2), workers=1), Heard()
    first = enhance(workspace, exhibit, asked, heard)
    assert "too short for a trial" in heard.starting("No estimate of the cost")
    (finished,) = workspace.ledger.entries(event="run.finished")
    cost = first.predicate["run"]["cost"]
    assert finished.data["cost"] == cost
    assert cost["wall_s"] == first.predicate["run"]["duration_s"] > 0 and cost["processor_s"] > 0
    assert cost["estimate"]["wall_s"] is None and cost["units"] == 4 and cost["gpu_s"] == 0
    heard = Heard()
    again = enhance(workspace, exhibit, replace(asked, frames=(0, 3)), heard)
    foreseen = again.predicate["run"]["cost"]["estimate"]
    assert foreseen["source"] == f"measured on this machine in run {first.run_id}"
    assert foreseen["processor_s"] == pytest.approx(cost["processor_s"] * 6 / 4, abs=0.1)
    assert first.run_id in heard.starting("Estimated cost")
    assert "of processor time" in heard.starting("Cost so far")
    other = enhance(workspace, exhibit, replace(asked, scale=3), Heard())
    assert "not run here before" in other.predicate["run"]["cost"]["estimate"]["source"]
    command = ["pdftotext", "-layout", str(again.folder / "report.pdf"), "-"]
    report = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "of processor time; peak memory" in " ".join(report.stdout.split())


def test_a_long_run_is_preceded_by_a_trial_that_changes_nothing(
    workspace: Workspace, exhibit: Exhibit, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2))
    plain = enhance(workspace, exhibit, asked, Silent()).predicate
    monkeypatch.setattr(estimating, "_WORTH_A_TRIAL", 1)
    monkeypatch.setattr(estimating, "_by_history", lambda *_: None)
    heard = Heard()
    tried = enhance(workspace, exhibit, asked, heard).predicate
    assert "in one trial frame" in heard.starting("Estimated cost")
    assert tried["run"]["cost"]["estimate"]["processor_s"] >= 0
    assert tried["output"] == plain["output"]
    failing = BadInput("media.damaged", "It cannot be read.")
    monkeypatch.setattr(estimating, "open_exhibit", _raising(failing))
    untried = enhance(workspace, exhibit, asked, Silent()).predicate["run"]["cost"]["estimate"]
    assert "media.damaged" in untried["source"] and untried["wall_s"] is None


def _raising(error: BaseException):  # type: ignore[no-untyped-def]
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_run_that_failed_has_a_cost_too(
    workspace: Workspace, exhibit: Exhibit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enhancing, "execute", _raising(BadInput("test.broken", "It broke.")))
    with pytest.raises(BadInput):
        enhance(workspace, exhibit, EnhanceRequest(recipe="plain-lanczos", frames=(0, 2)), Silent())
    (failed,) = workspace.ledger.entries(event="run.failed")
    assert failed.data["cost"]["processor_s"] >= 0 and json.dumps(failed.data["cost"])


def test_a_resumed_run_keeps_its_estimate_and_adds_up_its_parts(workspace: Workspace, exhibit: Exhibit) -> None:
    asked = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2), workers=1)
    kept = enhance(workspace, exhibit, asked, Silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enhancing, "execute", _raising(StorageFailed("storage.full", "The disk is full.")))
        with pytest.raises(StorageFailed):
            enhance(workspace, exhibit, asked, Silent())
    (begun,) = workspace.ledger.unfinished_runs()
    resumed = resume(workspace, str(begun.run), Silent())
    cost = resumed.predicate["run"]["cost"]
    assert cost["estimate"]["source"] == f"measured on this machine in run {kept.run_id}"
    assert cost["estimate"]["wall_s"] == pytest.approx(kept.predicate["run"]["cost"]["wall_s"], abs=0.1)
    (interrupted,) = workspace.ledger.entries(event="run.interrupted")
    assert cost["earlier"]["parts"] == 1 and cost["earlier"]["untold"] == 0
    assert cost["earlier"]["processor_s"] == interrupted.data["cost"]["processor_s"]
    again = enhance(workspace, exhibit, asked, Silent()).predicate["run"]["cost"]["estimate"]
    assert again["source"] == f"measured on this machine in run {kept.run_id}"
    command = ["pdftotext", "-layout", str(resumed.folder / "report.pdf"), "-"]
    report = " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "of the last part; earlier parts (1):" in report and "estimated before:" in report


def test_what_a_killed_part_cost_is_said_to_be_untold_and_its_estimate_kept_by_its_progress() -> None:
    told = Estimate("measured", Cost(9.0, 8.0, 7, None)).to_record()
    part = Cost(2.0, 1.5, 5, 0.25).to_record()
    entries = [
        _entry("run.started", {}), _entry("run.progress", {"frames": 1, "estimate": told}),
        _entry("run.progress", {"frames": 2}), _entry("run.interrupted", {"code": "run.killed"}),
        _entry("run.resumed", {}), _entry("run.interrupted", {"cost": part}),
    ]  # fmt: skip
    assert foretold(entries).to_record() == told
    assert earlier(entries) == {
        "parts": 2, "untold": 1, "wall_s": 2.0, "processor_s": 1.5, "peak_memory_bytes": 5, "energy_wh": None,
    }  # fmt: skip
    assert earlier(entries[:2]) is None
    for strange in ("soon", {"source": 3}, {"wall_s": 1.0}):
        assert foretold([_entry("run.progress", {"estimate": strange})]) is GONE_ON_WITH
    assert foretold(entries[:1]).cost is None


def _entry(event: str, data: dict[str, object]) -> LedgerEntry:
    return SimpleNamespace(event=event, data=data)  # type: ignore[return-value]


@pytest.mark.parametrize("end", [Terminated, KeyboardInterrupt])
def test_a_run_broken_off_in_the_trial_has_begun_and_loses_nothing(
    workspace: Workspace, exhibit: Exhibit, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    monkeypatch.setattr(estimating, "_WORTH_A_TRIAL", 1)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(estimating, "open_exhibit", _raising(end()))
        enhance(workspace, exhibit, EnhanceRequest(recipe="plain-lanczos", frames=(0, 2)), Silent())
    events = [entry.event for entry in workspace.ledger.entries()]
    last = "run.interrupted" if end is Terminated else "run.cancelled"
    assert events[-2:] == ["run.started", last] and "run.refused" not in events
    if end is Terminated:
        (begun,) = workspace.ledger.unfinished_runs()
        assert resume(workspace, str(begun.run), Silent()).run_id == begun.run
