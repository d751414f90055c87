"""``models remove``: an enrolled model, or fetched weights, out of the models store."""

from __future__ import annotations

from pathlib import Path

import click

from forensic.cli.options import (
    TEXT,
    existing,
    json_option,
    quiet_option,
    store_option,
    workspace_option,
    workspace_path,
)
from forensic.cli.terminal import reporter, result, result_json


@click.command("remove")
@click.argument("model_id", type=TEXT, metavar="ID")
@store_option
@workspace_option
@json_option
@quiet_option
def models_remove(model_id: str, store: Path | None, workspace: Path | None, as_json: bool, quiet: bool) -> None:
    """Take a model that was enrolled, or weights that were fetched, out of the models store.

    That is recorded, with the digests of all files. Runs made with it verify as before; they cannot be computed again
    until the very same model is enrolled, or its weights are fetched, again.
    """
    from forensic.case.layout import WorkspaceLayout
    from forensic.case.modelremove import remove_model

    say = reporter(quiet)
    if workspace is not None or WorkspaceLayout(workspace_path(None)).ledger.exists():
        with existing(workspace) as opened:
            done = remove_model(model_id, opened, store=store)
    else:
        say.say("No workspace here: the removal is recorded in the models store only.")
        done = remove_model(model_id, None, store=store)
    if done.get("broken_off_before"):
        say.say("A removal that was broken off is finished.")
    say.say("Removed. Runs made with it verify as before, and cannot be computed again without it.")
    if as_json:
        result_json(done)
    else:
        result(model_id)
