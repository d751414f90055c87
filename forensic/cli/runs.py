"""``enhance``, ``report`` and ``reproduce``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensic.cli.checking import show_verification, trust_from, trust_options
from forensic.cli.options import (
    TEXT,
    Text,
    existing,
    existing_for_reading,
    existing_or_new,
    json_option,
    quiet_option,
    workspace_option,
)
from forensic.cli.terminal import reporter, result, result_json

if TYPE_CHECKING:
    from forensic.case.enhance import FinishedRun
    from forensic.case.reproduce import Reproduction

PURPOSES = ("investigation", "evidence", "identification", "comparison", "illustration", "validation")


_LARGEST = (1 << 53) - 1  # the largest integer of canonical JSON


class _Frames(click.ParamType[Any]):
    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``A:B`` with either end left out, as two integers or None."""
        if isinstance(value, tuple):
            return value
        first, colon, stop = str(value).partition(":")
        try:
            if not colon:
                raise ValueError
            ends = (int(first) if first else None, int(stop) if stop else None)
            if any(end is not None and not 0 <= end <= _LARGEST for end in ends):
                raise ValueError
            return ends
        except ValueError:
            self.fail("must be A:B, half-open, counting frames from 0, for example 0:250", param, ctx)


class _Integers(click.ParamType[Any]):
    def __init__(self, name: str, count: int | None = None) -> None:
        self.name, self._count = name, count

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Integers separated by commas, as a tuple."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if not all(abs(number) <= _LARGEST for number in numbers):
            numbers = ()
        if not numbers or self._count not in (None, len(numbers)):
            self.fail(f"must be {self.name} with whole numbers", param, ctx)
        return numbers


class _Region(click.ParamType[Any]):
    name = "X,Y,W,H[@FRAME]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Region and the frame in which it is marked, or None."""
        if isinstance(value, tuple):
            return value
        region, marked, frame = str(value).partition("@")
        if marked and not (frame.isascii() and frame.isdigit() and int(frame) <= _LARGEST):
            self.fail("must be X,Y,W,H@FRAME with whole numbers", param, ctx)
        return REGION.convert(region, param, ctx), int(frame) if marked else None


FRAMES = _Frames()
REGION = _Integers("X,Y,W,H", 4)


@click.command()
@click.argument("target", metavar="EXHIBIT|FILE", type=Text(4096))
@click.option("--recipe", type=TEXT, metavar="NAME|FILE.toml", help="Built-in recipe, file, or auto; default: classic.")
@click.option("--mode", type=click.Choice(["forensic", "creative"]), help="Default: forensic.")
@click.option("--scale", type=click.IntRange(1, 16), metavar="N", help="Enlargement; default: the recipe's.")
@click.option("--frames", type=_Frames(), help="Frames A to B-1 by index, half-open; default: all.")
@click.option("--roi", type=_Region(), help="Region of interest in source pixels; @FRAME: as marked in that frame.")
@click.option("--track", is_flag=True, help="Follow what is marked (--roi X,Y,W,H@FRAME); default: that frame alone.")
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Threads; never changes the output.")
@click.option("--stills", type=_Integers("I,J,..."), default=(), help="Frames that get stills and maps in any case.")
@click.option("--reason", type=TEXT, metavar="TEXT", help="Why this is done; creative mode demands it.")
@click.option("--question", type=TEXT, metavar="TEXT", help="The question that the examination is to answer.")
@click.option("--purpose", type=click.Choice(PURPOSES), help="What the result is for.")
@click.option(
    "--acknowledge", "acknowledgement", type=TEXT, metavar="TEXT",
    help="The sentence that generative pixels demand, in full; at a terminal creative mode asks for it.",
)  # fmt: skip
@click.option("--policy", type=TEXT, metavar="NAME|FILE", help="Policy to be judged by; default: that of the mode.")
@click.option("--calibration", type=Text(4096), metavar="FOLDER", help="The laboratory's own, made by calibrate.")
@workspace_option
@json_option
@quiet_option
def enhance(target: str, workspace: Path | None, as_json: bool, quiet: bool, track: bool, **asked: Any) -> None:
    """Enhance an exhibit (or a FILE, acquired first) and issue a signed report.

    The last line on stdout is the run folder.
    """
    from forensic.case.enhance import enhance as enhance_exhibit
    from forensic.case.enhance import exhibit_for
    from forensic.case.plan import EnhanceRequest

    asked["roi"], asked["roi_frame"] = asked["roi"] or (None, None)
    if asked["calibration"] is not None:
        asked["calibration"] = str(Path(asked["calibration"]).absolute())  # a run is resumed from anywhere
    if track is not (asked["roi_frame"] is not None):
        raise click.UsageError("A region is tracked with both: --roi X,Y,W,H@FRAME and --track.")
    say = reporter(quiet)
    if asked["mode"] == "creative" and asked["acknowledgement"] is None:
        asked["acknowledgement"] = _typed_acknowledgement()
    with existing_or_new(workspace, "enhance", say) as opened:
        exhibit = exhibit_for(opened, target, say)
        request = EnhanceRequest(**asked, command=("forensic", *sys.argv[1:]))
        run = enhance_exhibit(opened, exhibit, request, say)
    _show(run, as_json)


def _typed_acknowledgement() -> str | None:
    """What somebody at a terminal types when asked, over several lines too; None where there is no terminal.

    Nothing is filled in. An empty line ends it, and so does what the sentence does not begin with.
    """
    from forensic.policy.acknowledgement import SENTENCE, is_unfinished

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    click.echo(
        "Creative mode. A result with generated detail is made only if you type this sentence in full "
        f"(nothing: none is made):\n\n  {SENTENCE}\n",
        err=True,
    )
    typed: list[str] = []
    while True:
        typed.append(str(click.prompt("", prompt_suffix="> ", default="", show_default=False, err=True)))
        said = "\n".join(typed)
        if not typed[-1].strip() or not is_unfinished(said):
            return said or None


def _show(run: FinishedRun, as_json: bool) -> None:
    output = run.predicate["output"]
    if as_json:
        result_json(
            {
                "run": run.run_id,
                "folder": str(run.folder),
                "exhibit": run.predicate["exhibit"]["id"],
                "report": str(run.folder / "report.pdf"),
                "output": {"file": str(run.folder / output["file"]), "sha256": output["sha256"]},
                "stage_class": output["stage_class"],
                "frames": output["frames"],
                "frames_reused": run.predicate["run"]["frames_reused"],
                "risk_status": run.predicate["risk"]["status"],
            }
        )
        return
    result(f"run     {run.run_id}")
    result(f"output  {output['frames']['count']} frames, {output['stage_class']} class, SHA-256 {output['sha256']}")
    result(f"report  {run.folder / 'report.pdf'}")
    result(str(run.folder))


@click.command()
@click.argument("run_id", metavar="[RUN]", type=TEXT, required=False)
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Threads; never changes the output.")
@click.option("--recompute", is_flag=True, help="Make every frame again; needs less space on the disk.")
@workspace_option
@json_option
@quiet_option
def resume(
    run_id: str | None, workers: int | None, recompute: bool, workspace: Path | None, as_json: bool, quiet: bool
) -> None:
    """Go on with RUN, which a kill, a power cut or a full disk broke off; without RUN, list such runs.

    The result is the one of an uninterrupted run, byte for byte; the interruption is on the record.
    """
    from forensic.case.resume import resume as resume_run
    from forensic.case.resume import unfinished

    if run_id is None:
        with existing_for_reading(workspace) as opened:
            found = unfinished(opened)
        if as_json:
            result_json([one.to_record() for one in found])
            return
        for one in found:
            state = "being worked on" if one.held else one.interrupted or "started, not finished"
            result(f"{one.run_id}  exhibit {one.exhibit}, {one.frames_stated} of {one.frames} frames stated: {state}")
        return
    with existing(workspace) as opened:
        run = resume_run(opened, run_id, reporter(quiet), workers=workers, recompute=recompute)
    _show(run, as_json)


@click.command()
@click.argument("run_id", metavar="RUN", type=TEXT)
@workspace_option
@json_option
def report(run_id: str, workspace: Path | None, as_json: bool) -> None:
    """(Re)issue the PDF of a finished RUN from its signed record."""
    from forensic.case.reissue import reissue

    with existing(workspace) as opened:
        path = reissue(opened, run_id, reporter(False).say)
    if as_json:
        result_json({"run": run_id, "report": str(path)})
    else:
        result(str(path))


@click.command()
@click.argument("target", metavar="RUN|BUNDLE", type=Text(4096))
@trust_options
@workspace_option
@json_option
@quiet_option
def reproduce(target: str, workspace: Path | None, as_json: bool, quiet: bool, **trusted: Any) -> None:
    """Compute RUN again from the exhibit and compare every frame's hash.

    Given an unpacked disclosure BUNDLE with originals, verify it and compute its runs again; needs no workspace.
    """
    from forensic.case.reproduce import reproduce as reproduce_run

    if _is_bundle(Path(target)):
        _reproduce_bundle(Path(target), trusted, as_json, quiet)
        return
    with existing(workspace) as opened:
        outcome = reproduce_run(opened, target, reporter(quiet))
    if as_json:
        result_json(outcome.to_record())
    else:
        _show_outcome(outcome)
    if not outcome.succeeded:
        raise click.exceptions.Exit(1)


def _is_bundle(path: Path) -> bool:
    return (path / "bundle.json").is_file() or path.suffix.lower() == ".zip"


def _reproduce_bundle(path: Path, trusted: dict[str, Any], as_json: bool, quiet: bool) -> None:
    from forensic.case.reproduce_disclosed import reproduce_disclosed
    from forensic.case.verification.checks import Verdict

    verification, outcomes = reproduce_disclosed(path, reporter(quiet), trust=trust_from(trusted))
    if as_json:
        result_json({**verification.to_record(), "reproductions": [outcome.to_record() for outcome in outcomes]})
    else:
        for outcome in outcomes:
            _show_outcome(outcome)
        show_verification(verification)
    if verification.verdict is Verdict.FAILED:
        raise click.exceptions.Exit(1)


def _show_outcome(outcome: Reproduction) -> None:
    for key, change in outcome.platform_changes.items():
        result(f"platform differs: {key}: {change['then']} -> {change['now']}")
    for difference in outcome.differences[:10]:
        result(f"differs: {difference}")
    result(outcome.verdict)
