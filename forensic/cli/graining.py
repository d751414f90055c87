"""``grain``: whether an exhibit has film grain, and the model of it."""

from __future__ import annotations

from pathlib import Path

import click

from forensic.cli.options import Text, existing_or_new, json_option, quiet_option, workspace_option
from forensic.cli.terminal import reporter, result, result_json


@click.command()
@click.argument("target", metavar="EXHIBIT|FILE", type=Text(4096))
@click.option("--write", type=Text(4096), metavar="FILE.toml", help="Write a recipe with the model, for creative mode.")
@click.option("--table", type=Text(4096), metavar="FILE", help="Write the model as a film grain table of libaom.")
@workspace_option
@json_option
@quiet_option
def grain(
    target: str,
    write: str | None,
    table: str | None,
    workspace: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Estimate the film grain of an exhibit (or a FILE, acquired first), and tell it from other noise.

    What was found, with every number, is an entry of the ledger. The model can be used in creative mode only; files
    that exist are not overwritten.
    """
    from forensic.case.copyout import place_outside, write_out
    from forensic.case.enhance import exhibit_for
    from forensic.case.graining import estimate_exhibit_grain
    from forensic.grain.table import format_table

    say = reporter(quiet)
    with existing_or_new(workspace, "grain", say) as opened:
        files = [None if one is None else place_outside(opened, Path(one), name)
                 for one, name in ((write, "grain.toml"), (table, "grain.tbl"))]  # fmt: skip
        exhibit = exhibit_for(opened, target, say)
        found = estimate_exhibit_grain(opened, exhibit, say)
        entry = opened.ledger.entry(found.seq)
    texts = (found.recipe_text(), format_table(found.parameters, 1))
    for file, text in zip(files, texts, strict=True):
        if file is not None:
            write_out(file, text.encode("utf-8"), [])
    if as_json:
        result_json({"entry": entry.seq, **entry.data})
        return
    estimate = entry.data["grain"]
    result(f"kind      {estimate['kind']}")
    result(f"why       {estimate['why']}")
    for name, value in (estimate["evidence"] or {}).items():
        result(f"          {name.replace('_', ' ')}: {value}")
    for row in estimate["strength"]:
        result(f"strength  {row['sigma']:.2f} grey levels at level {row['level']:.0f}, {row['blocks']} blocks")
    result("")
    for line in found.recipe_text().splitlines():
        result(line)
    result(f"entry {entry.seq}")
