"""``forensic validate --scenes``: pictures of the laboratory's own, and masters with other ones or none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forensic.case.progress import Silent
from forensic.case.validating.validate import ValidateRequest, validate
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput
from forensic.hashes import sha256_file
from forensic.validation.scenes import drawn

MINI = Path(__file__).parents[1] / "validation" / "mini.toml"


def _workspace(root: Path) -> Workspace:
    return create_workspace(root, examiner="Q. Manager", lab="Lab", passphrase=None, origin="test")


def _events(workspace: Workspace) -> list[str]:
    return [entry.event for entry in workspace.ledger.entries()]


def test_pictures_of_the_laboratory_are_hashed_registered_and_measured(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(3):
        Image.fromarray(drawn("leaves", 240, 300, seed).astype(np.uint8)).save(pictures / f"{seed}.png")
    suite = tmp_path / "own.toml"
    text = MINI.read_text("utf-8").replace('scene = "chart"', 'scene = "own"').replace("scenes = 1", "scenes = 9")
    suite.write_text(text.replace("at_least = 10.0", 'rule = "mean", at_least = 10.0'), "utf-8")
    request = ValidateRequest(
        suite=str(suite), scenes=pictures, out=tmp_path / "out", keep_master=tmp_path / "master.json",
        keep_bench=tmp_path / "bench",
    )  # fmt: skip
    with _workspace(tmp_path / "ws") as workspace:
        done = validate(workspace, request, Silent())
        registered = next(iter(workspace.ledger.entries(event="validation.registered"))).data
        events = _events(workspace)
    assert [one["sha256"] for one in registered["pictures"]] == [sha256_file(pictures / f"{n}.png") for n in range(3)]
    assert done.passed
    assert done.predicate["results"][1]["estimate"]["count"] == 3
    assert done.folder == tmp_path / "out"
    assert verify(tmp_path / "out").verdict >= Verdict.SIGNED
    assert (tmp_path / "master.json").read_bytes() == (done.folder / "attestation.json").read_bytes()
    assert events[-2:] == ["validation.completed", "validation.master-kept"]
    assert verify(tmp_path / "bench" / "bench").verdict >= Verdict.SIGNED


def test_a_master_without_pictures_of_one_s_own_or_with_others_is_still_one(tmp_path: Path) -> None:
    """As when the suite is run for the first time with --scenes, or with other ones."""
    text = MINI.read_text("utf-8")
    first = text.index("[[condition]]")
    condition = text[first : text.index("[[requirement]]")]
    own = condition.replace('"one"', '"another"').replace('"chart"', '"own"').replace("scenes = 1", "scenes = 9")
    wanted = """[[requirement]]
id = "FI-02"
text = "The same on the laboratory's own."
why = "Drawn scenes are not photographs."
mandatory = false
method = { kind = "fidelity", condition = "another", recipe = "plain-lanczos", metric = "psnr-y" }
accept = { at_least = 10.0 }
[[requirement]]
id = "IN-01"
text = "Originals are as they were."
why = "They are sacred."
method = { kind = "integrity", check = "original-untouched" }
accept = { at_least = 1.0 }
"""
    suite = tmp_path / "both.toml"
    suite.write_text(text[:first] + own + text[first:] + wanted, "utf-8")
    found = []
    with _workspace(tmp_path / "ws") as workspace:
        for seeds in ((), range(3), range(1, 5)):
            pictures = tmp_path / f"pictures {len(seeds)}"
            pictures.mkdir()
            for seed in seeds:
                Image.fromarray(drawn("leaves", 240, 300, seed).astype(np.uint8)).save(pictures / f"{seed}.png")
            asked = ValidateRequest(suite=str(suite), scenes=pictures if seeds else None, new_master=len(seeds) == 3)
            if len(seeds) == 3:  # against the master without any first
                found.append(validate(workspace, dataclasses.replace(asked, new_master=False), Silent()))
            found.append(validate(workspace, asked, Silent()))
        found.append(validate(workspace, ValidateRequest(suite=str(suite)), Silent()))
    assert [one.passed for one in found] == [True, True, True, True, False]
    masters = [one.predicate["master"] for one in found]
    assert masters[0] is None and masters[2] is None
    assert {one["why"] for one in masters[1]["notes"]} == {"not in the master", "other verdict"}
    assert masters[1]["hashes_compared"] == masters[1]["hashes_equal"] > 0
    assert [one["why"] for one in masters[3]["notes"]] == ["other pictures of your own: not compared"]
    assert masters[3]["hashes_compared"] == masters[3]["hashes_equal"] > 0
    assert {one["why"] for one in masters[4]["differences"]} == {"missing", "other verdict"}
    assert all(verify(one.folder).verdict >= Verdict.SIGNED for one in found)


def test_pictures_that_are_too_small_are_refused_before_anything_is_registered(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, size in enumerate([(240, 300), (300, 200), (240, 300)]):
        Image.fromarray(drawn("leaves", *size, number).astype(np.uint8)).save(pictures / f"{number}.png")
    suite = tmp_path / "own.toml"
    suite.write_text(MINI.read_text("utf-8").replace('scene = "chart"', 'scene = "own"'), "utf-8")
    with _workspace(tmp_path / "ws") as workspace:
        with pytest.raises(BadInput) as refused:
            validate(workspace, ValidateRequest(suite=str(suite), scenes=pictures), Silent())
        assert _events(workspace)[-1] == "validation.refused"
        assert "validation.registered" not in _events(workspace)
    assert refused.value.code == "validation.scene" and "1 of 3 pictures" in refused.value.message
    assert "1.png" in refused.value.message
