"""What a recipe declares reaches the risk map and the output's flags."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.case.conftest import Case, forensic

_HEAD = 'name = "try"\ntitle = "Trial"\nwhy = "Test."\n'


def _run(tmp_path: Path, clip: Path, stages: str, frames: str = "0:2") -> Case:
    recipe = tmp_path / "try.toml"
    recipe.write_text(_HEAD + stages)
    root = tmp_path / "ws"
    done = forensic("enhance", clip, "-w", root, "--recipe", recipe, "--frames", frames, "--quiet")
    assert done.code == 0, done.err
    verified = forensic("verify", done.last_line)
    assert verified.code == 0, verified.out
    return Case(root, Path(done.last_line))


def _report_text(run: Path) -> str:
    return subprocess.run(
        ["pdftotext", "-layout", run / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout


def _stage(name: str, **parameters: object) -> str:
    lines = [f'[[stage]]\nname = "{name}"\nwhy = "Test."\n[stage.parameters]\n']
    lines += [f"{key} = {json.dumps(value)}\n" for key, value in parameters.items()]
    return "".join(lines)


def test_gaussian_psf_of_a_deconvolution_is_the_declared_forward_model(tmp_path: Path, real_clip: Path) -> None:
    stages = _stage("wiener", psf="gaussian", sigma=1.5) + _stage("resize", scale=2)
    summary = _run(tmp_path, real_clip, stages).predicate()["risk"]["frames"][0]["summary"]
    assert summary["forward_model"]["psf_source"] == "declared"
    assert summary["forward_model"]["psf_sigma_px"] == 3.0
    assert summary["remarks"] == ["PSF declared by the examiner"]


def test_psf_that_the_model_cannot_hold_is_said_so(tmp_path: Path, real_clip: Path) -> None:
    summary = _run(tmp_path, real_clip, _stage("wiener", psf="defocus", disc_radius=2.0)).predicate()
    remarks = summary["risk"]["frames"][0]["summary"]["remarks"]
    assert "defocus PSF" in remarks[0]
    assert "defocus PSF" in _report_text(next((tmp_path / "ws" / "runs").iterdir()))


def test_report_says_why_a_frame_could_not_be_assessed(tmp_path: Path, real_clip: Path) -> None:
    case = _run(tmp_path, real_clip, _stage("resize", width=250, height=200), "0:1")
    assert case.predicate()["risk"]["frames"][0]["summary"]["reason_not_assessed"]
    text = " ".join(_report_text(case.run).split())
    assert "Not assessed. The output has 250x200 pixels" in text


def test_dispersion_is_not_measured_where_a_turn_follows_the_learned_stage(tmp_path: Path, real_clip: Path) -> None:
    stages = _stage("learned-upscale", model="luma-residual-x2") + _stage("rotate-flip", rotate=90)
    summary = _run(tmp_path, real_clip, stages, "0:1").predicate()["risk"]["frames"][0]["summary"]
    assert summary["dispersion"] is None
    assert "not measured" in summary["remarks"][0]


def test_resize_after_the_learned_stage_does_not_break_the_run(tmp_path: Path, real_clip: Path) -> None:
    stages = _stage("learned-upscale", model="luma-residual-x2") + _stage("resize", width=176, height=144)
    _run(tmp_path, real_clip, stages, "0:1")


def test_output_of_interlaced_footage_does_not_claim_fields_that_were_mixed(tmp_path: Path, street_clip: Path) -> None:
    interlaced = tmp_path / "interlaced.mpg"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", street_clip, "-frames:v", "12", "-vf", "interlace,scale=640:272", "-an",
         "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-top", "1", "-q:v", "3", interlaced],
        check=True,
    )  # fmt: skip
    done = forensic("enhance", interlaced, "-w", tmp_path / "ws", "--frames", "0:2")
    assert done.code == 0, done.err
    assert "interlaced" in done.err
    case = Case(tmp_path / "ws", Path(done.last_line))
    assert any("interlaced" in warning for warning in case.predicate()["warnings"])
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=field_order", "-of", "csv=p=0",
         case.run / "output.mkv"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert shown.strip().strip(",") in ("unknown", "")
    fixed = _run(tmp_path, interlaced, _stage("deinterlace", field_order="top"), "0:3")
    assert not any("interlaced" in warning for warning in fixed.predicate()["warnings"])
