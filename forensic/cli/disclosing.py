"""``bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from forensic.cli.options import TEXT, existing, json_option, quiet_option, workspace_option
from forensic.cli.terminal import reporter, result, result_json
from forensic.errors import UsageError


@click.command()
@click.argument("target", metavar="RUN|CASE", required=False, type=TEXT)
@click.option("--out", type=click.Path(path_type=Path), metavar="PATH", help="New file or folder; else disclosures/.")
@click.option("--zip/--folder", "archive", default=True, help="One archive (default), or a folder.")
@click.option(
    "--originals", type=click.Choice(["include", "hash-only"]), help="Whether originals go along; default: include."
)
@click.option("--with-validations", "validations", is_flag=True, help="Every completed validation goes along.")
@click.option("--again", type=click.IntRange(1), metavar="SEQ", help="Write the bundle issued by this entry again.")
@workspace_option
@json_option
@quiet_option
def bundle(
    target: str | None,
    out: Path | None,
    archive: bool,
    originals: str | None,
    validations: bool,
    again: int | None,
    workspace: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Disclose a RUN or a CASE: a BagIt bag that verifies without workspace and network.

    The last line on stdout is the bundle. --again adds what arrived since (timestamps, cosignatures); if nothing did,
    the bytes are the same.
    """
    from forensic.case.bundle.issuing import BundleRequest, disclose, write_again
    from forensic.case.bundle.selecting import scope_for

    if (target is None) == (again is None):
        raise UsageError("bundle.target", "Name either a run or case, or an entry with --again.")
    if again is not None and (originals is not None or validations):
        raise UsageError("bundle.target", "What goes along was settled when the bundle was issued.")
    say = reporter(quiet)
    request = BundleRequest(out, archive, originals, validations)
    with existing(workspace) as opened:
        if again is not None:
            written = write_again(opened, again, request, say)
        else:
            written = disclose(opened, scope_for(opened, str(target)), request, say)
    if as_json:
        result_json(written.to_record())
        return
    result(f"issued      entry {written.seq}, proved under the checkpoint of {written.checkpoint} entries")
    result(f"files       {written.files}, {written.size} bytes, highest class {written.stage_class}")
    result(f"sha256      {written.sha256}" + ("" if archive else " (tagmanifest-sha256.txt)"))
    result(str(written.path))
