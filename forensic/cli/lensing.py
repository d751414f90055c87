"""``lens``: the distortion of an exhibit's lens, and the recipe lines that correct it."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

import click

from forensic.cli.options import Text, existing_or_new, json_option, quiet_option, workspace_option
from forensic.cli.runs import FRAMES
from forensic.cli.terminal import reporter, result, result_json
from forensic.errors import UsageError


class _Line(click.ParamType[Any]):
    name = "'X,Y X,Y X,Y …'"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Places along one straight thing, as pairs of numbers."""
        if isinstance(value, tuple):
            return value
        try:
            places = tuple(tuple(float(one) for one in place.split(",")) for place in str(value).split())
        except ValueError:
            places = ()
        if not places or any(
            len(place) != 2 or not isfinite(one) or abs(one) > 1e6 for place in places for one in place
        ):
            self.fail("must be places X,Y separated by spaces, for example '10,20 200,24 400,31'", param, ctx)
        return places


class _Board(click.ParamType[Any]):
    name = "COLUMNSxROWS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Inner corners of a checkerboard, two whole numbers from 3 on."""
        if isinstance(value, tuple):
            return value
        columns, _, rows = str(value).partition("x")
        if not all(one.isascii() and one.isdigit() and 3 <= int(one) <= 64 for one in (columns, rows)):
            self.fail("must be the number of inner corners, for example 9x6", param, ctx)
        return int(columns), int(rows)


@click.command()
@click.argument("target", metavar="EXHIBIT|FILE", type=Text(4096))
@click.option("--line", "lines", type=_Line(), multiple=True, help="Places marked along something straight; repeat it.")
@click.option("--board", type=_Board(), help="Inner corners of a checkerboard that the frames show.")
@click.option("--frames", type=FRAMES, help="With --board: frames A to B-1; default: all.")
@click.option("--terms", type=click.IntRange(1, 3), help="Radial coefficients; default: 1 (lines), 2 (board).")
@click.option("--centre", is_flag=True, help="With --line: find the centre of distortion too.")
@workspace_option
@json_option
@quiet_option
def lens(
    target: str,
    lines: tuple[Any, ...],
    board: tuple[int, int] | None,
    frames: tuple[int | None, int | None] | None,
    terms: int | None,
    centre: bool,
    workspace: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Estimate the lens distortion of an exhibit (or a FILE, acquired first) from straight things or a checkerboard.

    Coefficients are printed with their standard uncertainties and as lines for a recipe; marks and estimate are an
    entry of the ledger.
    """
    if bool(lines) is (board is not None):
        raise click.UsageError("Give either --line, several times, or --board.")
    if board is not None and centre:
        raise UsageError("lens.options", "--centre belongs to --line: a board always gives the centre.")
    if board is None and frames is not None:
        raise UsageError("lens.options", "--frames belongs to --board: lines are marked, not looked for.")
    from forensic.case.enhance import exhibit_for
    from forensic.case.lensing import lens_from_board, lens_from_lines
    from forensic.case.plan import frame_range

    say = reporter(quiet)
    with existing_or_new(workspace, "lens", say) as opened:
        exhibit = exhibit_for(opened, target, say)
        if board is None:
            found = lens_from_lines(opened, exhibit, lines, terms or 1, centre)
        else:
            chosen = frame_range(frames, exhibit.frame_count)
            found = lens_from_board(opened, exhibit, board, chosen, terms or 2, say)
        entry = opened.ledger.entry(found.seq)
    if as_json:
        result_json({"entry": entry.seq, **entry.data})
        return
    estimate = found.estimate
    given = estimate.lens.to_parameters()
    values = {"centre_x": given["centre"][0], "centre_y": given["centre"][1], "focal_x": given["focal"][0],
              "focal_y": given["focal"][1],
              **{name: given[name] for name in ("k1", "k2", "k3", "p1", "p2")}}  # fmt: skip
    for name, value in values.items():
        if name in estimate.uncertainty:
            result(f"{name:<9} {value:.6g}, standard uncertainty {estimate.uncertainty[name]:.2g}")
        elif value:
            result(f"{name:<9} {value:.6g}, taken, not estimated")
    result(
        f"misfit    {estimate.rms:.3f} pixels (without correction {estimate.rms_before:.3f}), {estimate.marks} marks"
    )
    result("")
    for sentence in found.recipe_lines():
        result(sentence)
    result(f"entry {entry.seq}")
