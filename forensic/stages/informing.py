"""A recipe made from another one and from what was measured of the recording: a recipe file like any other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forensic.stages.recipe import Recipe

DEINTERLACE = "deinterlace"
_QP_STEP = 0.625  # grey levels: H.264's luma step at quantiser 0, doubling every six (ITU-T H.264, 8.5.9)


def quantiser_of_step(step: float) -> float:
    """The index on H.264's scale, 0 to 51, whose quantiser step is ``step`` grey levels."""
    return min(max(6.0 * math.log2(max(step, _QP_STEP) / _QP_STEP), 0.0), 51.0)


def informed(
    recipe: Recipe,
    *,
    prefix: str,
    first: Mapping[str, Mapping[str, Any]],
    parameters: Mapping[str, Mapping[str, Any]],
    why: str,
    source: str,
) -> Recipe:
    """``recipe`` with the stages ``first`` put before it and ``parameters`` set where such a stage stands.

    Both are values by stage and parameter. The text is whole: whoever has it can run it again without any
    measurement. ``prefix``: of its name. ``why``: what was measured and what follows from it.

    Raises ``BadInput`` (``recipe.invalid``) for parameters that a stage does not have.
    """
    from forensic.stages.recipe import parse_recipe  # recipes know the stages, one of which asks this module

    lines = [
        f"# Written by this program from recipe {recipe.name!r} and from what was measured of the recording.",
        f"name = {_toml(f'{prefix}-{recipe.name}')}",
        f"title = {_toml(f'{recipe.title} ({prefix})')}",
        f"why = {_toml(f'{recipe.why} {why}'[:2000])}",
    ]
    # Fields are told by the number of the line: nothing that moves lines stands before deinterlacing.
    kept = 1 if recipe.steps and recipe.steps[0].name == DEINTERLACE and DEINTERLACE not in first else 0
    for number, step in enumerate(recipe.steps):
        if number == kept:
            for name, given in first.items():
                lines += _stage(name, "Put here because of what was measured.", given)
        lines += _stage(step.name, step.why, {**step.parameters, **parameters.get(step.name, {})})
    return parse_recipe(("\n".join(lines) + "\n").encode("utf-8"), source)


def _stage(name: str, why: str, given: Mapping[str, Any]) -> list[str]:
    inner = ", ".join(f"{parameter} = {_toml(value)}" for parameter, value in given.items())
    return ["", "[[stage]]", f"name = {_toml(name)}", f"why = {_toml(why)}", f"parameters = {{ {inner} }}"]


def _toml(value: Any) -> str:
    """JSON's strings, numbers and truth values are TOML's too; its tables have signs of their own."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
