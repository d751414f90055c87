"""``export``: copies for other people's programs."""

from __future__ import annotations

from pathlib import Path

import click

from forensic.cli.options import TEXT, existing, json_option, workspace_option
from forensic.cli.terminal import result, result_json


@click.command("export")
@click.argument("run_id", metavar="RUN", type=TEXT)
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--frame", type=click.IntRange(0), metavar="N", help="Frame of the output, from 0; for .png and .jpg.")
@click.option("--no-credentials", is_flag=True, help="Leave C2PA content credentials out.")
@workspace_option
@json_option
def export_run(
    run_id: str, target: Path, frame: int | None, no_credentials: bool, workspace: Path | None, as_json: bool
) -> None:
    """Write a copy of RUN to FILE for other programs: .mp4, .png, .jpg (viewing copies) or .jsonld (CASE/UCO).

    Viewing copies are lossy or bare of proofs; the evidence is the run folder.
    """
    from forensic.case.exporting import export

    with existing(workspace) as opened:
        facts = export(opened, run_id, target, frame=frame, credentials=not no_credentials)
    if as_json:
        result_json({"file": str(target), **facts})
    else:
        result(f"sha256  {facts['sha256']}")
        result(str(target))
