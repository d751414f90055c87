"""Recipes: which stages, in which order, with which parameters, and why. TOML, read strictly."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from forensic.errors import BadInput, ForensicError, PolicyRefused, StorageFailed, UsageError
from forensic.resources import recipes_dir as shipped_recipes_dir
from forensic.stages import catalogue
from forensic.stages.deinterlace import Deinterlace
from forensic.stages.movement import FOLLOWING
from forensic.stages.pipeline import Pipeline
from forensic.stages.stage import Stage

LARGEST_FILE = 1 << 20  # bytes: room for the motions of a region through a few thousand frames
MOST_STAGES = 32
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
TEMPLATES = "templates"  # folder of recipes that are given a model by name: NAME:MODEL
_ABOUT_A_MODEL = re.compile(r"(?P<name>[a-z][a-z0-9-]{0,63}):(?P<model>[a-z0-9][a-z0-9-]{0,63})")
_MODEL = b"@MODEL@"


def _printable(text: str) -> str:
    if any(not (character.isprintable() or character == "\n") for character in text):
        raise ValueError("holds control characters")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be lower-case letters, digits and hyphens, starting with a letter")
    return text


Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]


class RecipeStage(BaseModel):
    """One step: stage name, why it is there, parameters that differ from the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    why: Text
    parameters: dict[str, Any] = Field(default_factory=dict)


class _RecipeFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    title: Text
    why: Text
    stage: list[RecipeStage] = Field(min_length=1, max_length=MOST_STAGES)


@dataclass(frozen=True)
class Override:
    """A value that the command line put over the recipe's: ``by`` names the option."""

    stage: str
    parameter: str
    value: Any
    was: Any
    by: str

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "stage": self.stage,
            "parameter": self.parameter,
            "value": self.value,
            "was": self.was,
            "by": self.by,
        }


@dataclass(frozen=True)
class BoundRecipe:
    """A recipe made ready for one run: stages with all parameters fixed, and what was overridden. ``recorded``: the
    run was made before, and these are its stages.
    """

    recipe: Recipe
    stages: tuple[Stage[Any], ...]
    whys: tuple[str, ...]
    overrides: tuple[Override, ...]
    recorded: bool = False

    @cached_property
    def pipeline(self) -> Pipeline:
        """The stages as a pipeline."""
        return Pipeline(self.stages, recorded=self.recorded)

    def record(self) -> dict[str, Any]:
        """JSON-able facts: the recipe's identity, overrides, and every stage with every parameter."""
        return {
            "name": self.recipe.name,
            "title": self.recipe.title,
            "why": self.recipe.why,
            "sha256": self.recipe.sha256,
            "source": self.recipe.source,
            "overrides": [override.to_record() for override in self.overrides],
            "stages": [
                {"position": position, "why": why, **stage.record()}
                for position, (stage, why) in enumerate(zip(self.stages, self.whys, strict=True), start=1)
            ],
        }


@dataclass(frozen=True)
class Recipe:
    """A recipe as read. ``source`` is ``built-in`` or the file's name; ``text`` its bytes, decoded."""

    name: str
    title: str
    why: str
    steps: tuple[RecipeStage, ...]
    sha256: str
    source: str
    text: str

    def bind(
        self,
        scale: int | None = None,
        roi: tuple[int, int, int, int] | None = None,
        *,
        models_dir: Path | None = None,
    ) -> BoundRecipe:
        """Fix all parameters; ``scale`` goes to the one resampling stage and what follows it, ``roi`` = (x, y, width,
        height) puts a crop first, or right after deinterlacing. Both are recorded as overrides.

        Raises ``BadInput`` (``stage.unknown``, ``stage.parameters``, ``recipe.order``), ``UsageError``
        (``recipe.scale``, ``recipe.roi``) and what a learned stage's model card raises.
        """
        stages = [catalogue.build(step.name, step.parameters, models_dir=models_dir) for step in self.steps]
        whys = [step.why for step in self.steps]
        overrides: list[Override] = []
        if scale is not None:
            self._set_scale(stages, whys, scale, overrides)
        if roi is not None:
            self._insert_crop(stages, whys, roi, overrides)
        bound = BoundRecipe(self, tuple(stages), tuple(whys), tuple(overrides))
        bound.pipeline  # noqa: B018 - refuses an impossible order now
        return bound

    def _set_scale(self, stages: list[Stage[Any]], whys: list[str], scale: int, overrides: list[Override]) -> None:
        if not 1 <= scale <= 16:
            raise UsageError("recipe.scale", f"A scale of {scale} is not possible.", "Use a whole number from 1 to 16.")
        places = [number for number, stage in enumerate(stages) if stage.resamples]
        if len(places) != 1:
            found = "no stage" if not places else f"{len(places)} stages"
            raise UsageError(
                "recipe.scale",
                f"Recipe {self.name!r} has {found} that resize, so that --scale has no clear meaning.",
                "Leave --scale out, or use a recipe with exactly one.",
            )
        before = stages[places[0]]
        after = before.with_scale(scale)
        stages[places[0]] = after
        _note_changes(before, after, "--scale", overrides)
        following = stages[places[0] + 1 :]
        for number, stage in reversed(list(enumerate(following, start=places[0] + 1))):
            changed = stage.for_scale(scale)
            if changed is None:
                del stages[number], whys[number]
                overrides.append(Override(stage.name, "stage", None, "in the recipe", "--scale"))
            else:
                stages[number] = changed
                _note_changes(stage, changed, "--scale", overrides)

    def _insert_crop(
        self,
        stages: list[Stage[Any]],
        whys: list[str],
        roi: tuple[int, int, int, int],
        overrides: list[Override],
    ) -> None:
        x, y, width, height = roi
        try:
            crop = catalogue.build("crop", {"x": x, "y": y, "width": width, "height": height})
        except BadInput as error:
            raise UsageError("recipe.roi", f"Region {x},{y},{width},{height}: {error.message}", error.remedy) from None
        overrides.append(Override("crop", "x,y,width,height", [x, y, width, height], None, "--roi"))
        # Fields are told by the number of the line, and a crop may change it: it comes after deinterlacing.
        place = max((number for number, stage in enumerate(stages, 1) if isinstance(stage, Deinterlace)), default=0)
        turned: Stage[Any] | None = None
        followed = False
        for number, before in enumerate(stages[place:], place):
            if followed and (before.bound is None or not before.bound.uncut):
                continue
            if turned is not None and before.positional:
                raise UsageError(
                    "recipe.roi",
                    f"Stage {before.name!r} of recipe {self.name!r} names places in a picture that stage "
                    f"{turned.name!r} has turned or stretched: they cannot be moved with a region.",
                    "Put a crop into the recipe, or leave --roi out.",
                )
            turned = turned if before.keeps_places else before
            try:
                after = before.after_crop(x, y)
            except BadInput as error:
                outside = f"Stage {before.name!r} of recipe {self.name!r} names a place outside the region."
                raise UsageError(
                    "recipe.roi",
                    outside if error.code == "stage.parameters" else error.message,
                    "Choose a region that holds it, or leave --roi out.",
                ) from None
            stages[number] = after
            _note_changes(before, after, "--roi", overrides)
            if before.anchors:  # what it hands on is the same as without the region
                followed = before.movement in FOLLOWING
                if not followed:
                    break
        stages.insert(place, crop)
        whys.insert(place, "Region of interest given on the command line.")


def _note_changes(before: Stage[Any], after: Stage[Any], by: str, overrides: list[Override]) -> None:
    old, new = before.parameters.model_dump(mode="json"), after.parameters.model_dump(mode="json")
    overrides += [Override(before.name, name, new[name], old[name], by) for name in new if new[name] != old[name]]


def recipe_names(recipes_dir: Path | None = None) -> list[str]:
    """Names of the recipes in ``recipes_dir`` (the built-in ones if None), sorted."""
    folder = recipes_dir or shipped_recipes_dir()
    return sorted(path.stem for path in folder.glob("*.toml") if _NAME.fullmatch(path.stem))


def recipes_for_scale(scale: int, recipes_dir: Path | None = None) -> list[str]:
    """Those of :func:`recipe_names` that can be bound with ``scale``; weights need not have been fetched."""
    able = []
    for name in recipe_names(recipes_dir):
        try:
            load_recipe(name, recipes_dir).bind(scale=scale)
        except (BadInput, PolicyRefused, UsageError):
            continue
        able.append(name)
    return able


def load_recipe(name_or_path: str | Path, recipes_dir: Path | None = None) -> Recipe:
    """Read a recipe by name (of those in ``recipes_dir``, the built-in ones if None) or from a file.

    ``NAME:MODEL`` names one that is made for any model of one kind, and the model. Raises ``BadInput``:
    ``recipe.unknown``; ``recipe.invalid`` for a file that is too large, not TOML, has unknown keys, a wrong type, an
    unknown stage or bad parameters.
    """
    folder = recipes_dir or shipped_recipes_dir()
    text = str(name_or_path)
    if (about := _ABOUT_A_MODEL.fullmatch(text)) and (folder / TEMPLATES / f"{about['name']}.toml").is_file():
        return _filled(folder / TEMPLATES / f"{about['name']}.toml", about["model"])
    if _NAME.fullmatch(text) and (folder / f"{text}.toml").is_file():
        recipe = _read(folder / f"{text}.toml", "built-in")
        if recipe.name != text:
            raise _invalid(f"{text}.toml", f"it calls itself {recipe.name!r}")
        return recipe
    path = Path(name_or_path)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a name too long or with a zero byte
        is_file = False
    if not is_file:
        raise BadInput(
            "recipe.unknown",
            f"There is no recipe {text!r} and no such file.",
            "Built-in recipes: " + ", ".join(recipe_names(folder)) + ".",
        )
    return _read(path, path.name)


def _filled(path: Path, model: str) -> Recipe:
    """The built-in recipe for any model of one kind, with ``model`` put in; its text is what is recorded."""
    written = _read_bytes(path)
    if written.count(_MODEL) != 1:
        raise _invalid(path.name, "it does not name its model once")
    return parse_recipe(written.replace(_MODEL, model.encode("ascii")), "built-in")


def _read(path: Path, source: str) -> Recipe:
    return parse_recipe(_read_bytes(path), source)


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise StorageFailed("recipe.unreadable", f"Recipe {path.name} cannot be read: {error.strerror}.") from error


def parse_recipe(data: bytes, source: str) -> Recipe:
    """Read a recipe from the bytes of a TOML file. Raises ``BadInput`` (``recipe.invalid``)."""
    if len(data) > LARGEST_FILE:
        raise _invalid(source, f"it is larger than {LARGEST_FILE} bytes")
    try:
        text = data.decode("utf-8")
        table = tomllib.loads(text)
    except UnicodeDecodeError:
        raise _invalid(source, "it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise _invalid(source, f"it is not TOML ({error})") from None
    try:
        file = _RecipeFile.model_validate(table)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False)
        ]
        raise _invalid(source, "; ".join(problems[:5])) from None
    for position, step in enumerate(file.stage, start=1):
        try:
            catalogue.check(step.name, step.parameters)
        except ForensicError as error:
            raise _invalid(source, f"stage {position}: {error.message}", error.remedy) from None
    return Recipe(file.name, file.title, file.why, tuple(file.stage), hashlib.sha256(data).hexdigest(), source, text)


def _invalid(source: str, problem: str, remedy: str = "") -> BadInput:
    shown = "".join(character if character.isprintable() else "?" for character in problem)
    return BadInput("recipe.invalid", f"Recipe {source} cannot be used: {shown}.".replace("..", "."), remedy)
