"""``models add``: a laboratory's own model, and how it is shown beside this program's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from forensic.registry.external.shelf import ExternalCheck


@click.command("add")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|FOLDER")
@click.option(
    "--id", "model_id", required=True, type=TEXT, metavar="ID", help="Name for it: lower-case letters, digits, hyphens."
)
@click.option(
    "--card", "laboratory", type=click.Path(path_type=Path), metavar="TOML",
    help="What the laboratory says of it: title, licence, training, class and who declares it …",
)  # fmt: skip
@click.option(
    "--root",
    type=TEXT,
    metavar="KEY",
    help="Torch files: key of the state dictionary, where it is not found by itself.",
)
@store_option
@workspace_option
@json_option
@quiet_option
def models_add(
    path: Path, model_id: str, laboratory: Path | None, root: str | None, store: Path | None, workspace: Path | None,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Enrol a model of your own: a safetensors, torch or ONNX file, or the folder of a diffusers upscaling pipeline.

    It is hashed, never unpickled, tried once, and kept in the models store. It runs as generative, whatever its card
    declares: enhance --mode creative --recipe creative-external:ID.
    """
    from forensic.case.layout import WorkspaceLayout
    from forensic.case.modeladd import add_model

    say = reporter(quiet)
    if workspace is not None or WorkspaceLayout(workspace_path(None)).ledger.exists():
        with existing(workspace) as opened:
            enrolled = add_model(path, model_id, opened, store=store, laboratory=laboratory, root=root)
    else:
        say.say("No workspace here: the attempt is recorded in the models store only.")
        enrolled = add_model(path, model_id, None, store=store, laboratory=laboratory, root=root)
    card = enrolled.card
    say.say("Hashed, tried and kept." if enrolled.new else "This very model is enrolled already, and sound.")
    say.say(card.class_statement)
    for name in enrolled.left_out:
        say.say(f"Left where it is: {name}")
    if as_json:
        result_json({**card.facts(), "new": enrolled.new, "folder": str(card.folder), "left_out": enrolled.left_out})
    else:
        result(str(card.folder))


def item_of(check: ExternalCheck) -> dict[str, Any]:
    """An enrolled model as a line of ``models list``, with the keys of this program's models."""
    card = check.card
    item: dict[str, Any] = {} if card is None else card.facts()
    return {
        **item,
        "name": check.model_id,
        "class": "generative",
        "title": item.get("title", "") if check.ok else f"NOT USABLE: {check.message}",
        "external": True,
        "usable": check.ok,
        "weights": "enrolled" if check.ok else "not usable",
        "measured": [],
    }
