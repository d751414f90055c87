"""``mask``: a recipe with a picture of what is damaged in it."""

from __future__ import annotations

from pathlib import Path

import click

from forensic.cli.options import TEXT, Text, json_option
from forensic.cli.runs import FRAMES
from forensic.cli.terminal import result, result_json
from forensic.errors import BadInput, StorageFailed, UsageError

_LARGEST = 1 << 20  # bytes of a mask picture that are read: a recipe has room for less


@click.command()
@click.argument("picture", metavar="MASK.png", type=Text(4096))
@click.option("--recipe", type=TEXT, metavar="NAME|FILE.toml", default="fill", help="To put it into; default: fill.")
@click.option("--frames", type=FRAMES, help="Frames A to B-1 that it is for, half-open; default: all.")
@click.option("--out", type=Text(4096), metavar="FILE.toml", required=True, help="Recipe to write; must not exist.")
@json_option
def mask(picture: str, recipe: str, frames: tuple[int | None, int | None] | None, out: str, as_json: bool) -> None:
    """Write a recipe that holds MASK.png: white where the recording is damaged, of the size of its pictures.

    The recipe goes to enhance or approve like any other; the mask stands in it, and so on the record of the run.
    """
    from forensic.hashes import sha256_bytes
    from forensic.stages.masked import masked
    from forensic.stages.recipe import load_recipe

    span = None
    if frames is not None:
        first, stop = frames[0] or 0, frames[1]
        if stop is None or stop <= first:
            raise UsageError("mask.frames", "The frames of a mask need an end.", "Give --frames A:B with A below B.")
        span = (first, stop - 1)
    try:
        with Path(picture).open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise BadInput("mask.unreadable", f"{picture!r} cannot be read.", "Name a PNG file.") from error
    base = load_recipe(recipe)
    made = masked(base, data, span, Path(out).name)
    try:
        with Path(out).open("xb") as file:
            file.write(made.text.encode("utf-8"))
    except (OSError, ValueError) as error:
        raise StorageFailed("mask.not-written", f"{out!r} cannot be written: {error}.", "Name a new file.") from error
    facts = {"recipe": made.name, "file": out, "sha256": made.sha256, "mask_sha256": sha256_bytes(data)}
    if as_json:
        result_json(facts)
        return
    result(f"recipe  {made.name}, SHA-256 {made.sha256}")
    result(f"mask    SHA-256 {facts['mask_sha256']}")
    result(out)
