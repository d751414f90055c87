"""``calibrate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from forensic.cli.options import TEXT, existing_or_new, json_option, quiet_option, workspace_option
from forensic.cli.terminal import reporter, result, result_json

NO_LOW = 6
"""Exit code: calibrated and signed, and no LOW label exists."""


class _Limits(click.ParamType[Any]):
    name = "Q,R,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Rising limits of the quantiser, as a tuple."""
        if isinstance(value, tuple):
            return value
        try:
            limits = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            limits = ()
        rising = all(low < high for low, high in zip((0.0, *limits), limits, strict=False))
        if not limits or not rising or limits[-1] > 63 or len(limits) > 8:
            self.fail("must be rising quantisers above 0, for example 28,34,44", param, ctx)
        return limits


@click.command()
@click.option("--pairs", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              help="Folder with pairs.csv, or with NAME.reference.EXT and NAME.degraded.EXT.")  # fmt: skip
@click.option("--class-name", required=True, type=TEXT, metavar="TEXT",
              help="Class S in words: which recordings these are, and how they were drawn.")  # fmt: skip
@click.option("--recipe", type=TEXT, metavar="NAME|FILE.toml", help="Recipe of one learned enlargement; default light.")
@click.option("--scale", type=click.IntRange(1, 16), metavar="N", help="Enlargement; default: the recipe's.")
@click.option("--score", type=click.Choice(["learned", "sum"]), help="Default: learned where the model has one.")
@click.option(
    "--strata",
    type=_Limits(),
    default=(),
    help="Upper limits of strata by H.264 quantiser; above the last nothing is calibrated. Default: one stratum.",
)
@click.option("--test-share", type=click.FloatRange(0.1, 0.5), metavar="P", help="Held out for the test; default 0.25.")
@click.option(
    "--regions", is_flag=True, help="For regions of interest (--roi): a region of each pair, drawn from all digests."
)
@click.option(
    "--frame", type=click.IntRange(0), metavar="N", help="Frame of pairs that name none; default: the middle."
)
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Threads; never changes the result.")
@click.option("--deviation", "deviations", multiple=True, type=TEXT, metavar="TEXT",
              help="What is done otherwise than the method says; may be given several times.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="New folder for the result; default: in the workspace.")  # fmt: skip
@workspace_option
@json_option
@quiet_option
def calibrate(workspace: Path | None, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Calibrate LOW on pairs of your own, and sign what came out.

    Lists, claims and method go on the record before anything is scored. Exit code 0 if a LOW label exists in some
    stratum, 6 if it was done and none exists. The last line on stdout is the folder: enhance --calibration takes it.
    """
    from forensic.case.calibrating.calibrate import CalibrateRequest
    from forensic.case.calibrating.calibrate import calibrate as calibrate_here

    asked["class_name"] = asked["class_name"].strip()
    if not asked["class_name"]:
        raise click.UsageError("--class-name must say which recordings these are.")
    say = reporter(quiet)
    with existing_or_new(workspace, "calibrate", say) as opened:
        done = calibrate_here(opened, CalibrateRequest(**asked, command=("forensic", *sys.argv[1:])), say)
    made, own = done.calibration, done.calibration.laboratory
    strata = [
        {
            "name": one.name,
            "n": one.n,
            "low_below": None if made.contradicted(one) else one.threshold,
            "without_low": one.abstained,
            "refused": "the held-out recordings contradict it" if made.contradicted(one) else one.refused,
            "held_out": None if own is None or (tested := own.tested(one.name)) is None else tested.model_dump(),
        }
        for one in made.strata
    ]
    refused = 0 if own is None else own.refused
    if as_json:
        result_json(
            {
                "calibration": done.id,
                "sha256": made.sha256,
                "low": made.has_low,
                "strata": strata,
                "refused_pairs": refused,
                "report": str(done.folder / "report.pdf"),
                "folder": str(done.folder),
            }
        )
    else:
        for line in strata:
            low = "no LOW label exists" if line["low_below"] is None else f"LOW below {line['low_below']:g}"
            why = f": {line['refused']}" if line["refused"] else f", {line['without_low']} recordings without LOW"
            result(f"{line['name']}  n = {line['n']}, {low}{why}")
        if refused:
            result(f"refused {refused} pairs, see registration.json")
        result(f"SHA-256 {made.sha256}")
        result(f"report  {done.folder / 'report.pdf'}")
        result(str(done.folder))
    if not made.has_low:
        raise click.exceptions.Exit(NO_LOW)
