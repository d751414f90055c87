"""What the index and the settings of a pipeline's components say, held against the lists of what is known.

Components of other packages, of other classes, and settings that name code or an address on a network are refused, and
so are settings that would be followed elsewhere and are not followed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from forensic.registry.external.empty_text import empty_text, vocabulary
from forensic.registry.external.pipeline_kinds import (
    INDEX,
    PIPELINES,
    SPECIAL,
    VOCABULARY,
    WORD_SETTINGS,
    WORDS,
    Kind,
    Part,
    number_files,
    refused,
)

NOISE_LEVEL = 20
"""Strength of the noise that an upscaler with words puts over the recording: diffusers' own default, and no other."""
_LARGEST_SETTINGS = 1 << 20
#: Keys by which settings make Hugging Face libraries load code.
_CODE_KEYS = {"auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code", "_module"}
#: Keys by which they compute with other numbers than the file has, or (CLIP) leave out tokens.
_OTHERWISE = ("quantization_config", "use_attention_mask")


@dataclass(frozen=True)
class Described:
    """A pipeline as its index and files describe it: classes, and names of the files of numbers, by component.

    ``tokens``: of the empty text, for a pipeline that takes words. ``noise_limit``: what the index has for
    ``max_noise_level``.
    """

    name: str
    classes: dict[str, str]
    numbers: dict[str, str]
    tokens: list[int] | None = None
    noise_limit: int | None = None


def described(files: Mapping[str, bytes]) -> Described:
    """The pipeline that ``files``, by name, describe; all of its components are there, and nothing else.

    Raises ``BadInput``: ``model.external-code``, ``model.external-address``, ``model.external-pipeline`` (of no kind
    that is known, or not whole), ``model.external-size``.
    """
    index = settings_of(files, INDEX)
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise refused("code", "its index names a pipeline in a file of its own")
    if name not in PIPELINES:
        raise refused("pipeline", f"its pipeline, {name[:100]!r}, is none of " + ", ".join(PIPELINES))
    kind = PIPELINES[name]
    classes = {
        part: _class_of(part, value, name, kind)
        for part, value in index.items()
        if not (part.startswith("_") or (part in kind.absent and value in (None, [None, None])))
        and not (part == "max_noise_level" and kind.noise_limit)
    }
    if classes.keys() != kind.parts.keys():
        raise refused("pipeline", "it lacks " + ", ".join(sorted(kind.parts.keys() - classes.keys())))
    needed, numbers = {INDEX}, {}
    for part, wanted in kind.parts.items():
        settings = f"{part}/{wanted.settings}"
        needed |= {settings, *({f"{part}/{also}" for also in wanted.also} & files.keys())}
        if wanted.stem is not None:
            named = [f"{part}/{one}" for one in number_files(wanted.stem)]
            numbers[part] = next((one for one in named if one in files), named[0])
            needed.add(numbers[part])
        _require_of_class(settings_of(files, settings), settings, classes[part])
    if files.keys() != needed:
        raise refused("pipeline", "files are missing or too many: " + ", ".join(sorted(files.keys() ^ needed)))
    return Described(
        name, classes, numbers, _tokens(files) if "tokenizer" in kind.parts else None,
        _noise_limit(index) if kind.noise_limit else None,
    )  # fmt: skip


def settings_of(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """The JSON object in file ``name``. Raises as :func:`described`."""
    data = files.get(name)
    if data is None:
        raise refused("pipeline", f"it has no {name}")
    if len(data) > _LARGEST_SETTINGS:
        raise refused("size", f"{name} exceeds 1 MiB")
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise refused("pipeline", f"{name} is not JSON") from error
    if not isinstance(table, dict):
        raise refused("pipeline", f"{name} is no JSON object")
    _require_harmless(table, name)
    return table


def _require_harmless(table: dict[str, Any], name: str) -> None:
    for key, value in _leaves(table):
        if key in _CODE_KEYS:
            raise refused("code", f"{name} names code ({key})")
        if isinstance(value, str) and "://" in value:
            raise refused("address", f"{name} names an address ({key})")


def _class_of(part: str, value: Any, name: str, kind: Kind) -> str:
    """Class of the component ``part`` by the index's ``value``."""
    if part in kind.absent:
        raise refused(
            "pipeline", f"it has a {part[:100]}, which would change or withhold pictures",
            'Set it to [null, null] in the index of a copy, and leave its folder out.',
        )  # fmt: skip
    if not isinstance(value, list) or len(value) != 2 or part not in kind.parts:
        raise refused("pipeline", f"a {name} has no component or setting {part[:100]!r}")
    library, found = value
    wanted: Part = kind.parts[part]
    if library != wanted.library:
        raise refused("code", f"component {part!r} is of {str(library)[:100]!r}, not of {wanted.library}")
    if not isinstance(found, str) or found not in wanted.classes:
        raise refused(
            "pipeline", f"component {part!r} is a {str(found)[:100]!r}, not " + " or ".join(sorted(wanted.classes))
        )
    return found


def _require_of_class(settings: dict[str, Any], name: str, kind: str) -> None:
    """Hold settings against the class that the index gives the component; refuse what is not followed here."""
    stated = settings.get("_class_name", kind), settings.get("architectures") or [kind]  # diffusers, transformers
    if stated != (kind, [kind]):
        raise refused("pipeline", f"{name} is of another class than the index says")
    if odd := [key for key in _OTHERWISE if settings.get(key)]:
        raise refused("pipeline", f"{name} sets {odd[0]!r}, which is not followed here")


def _noise_limit(index: dict[str, Any]) -> int | None:
    limit = index.get("max_noise_level")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < NOISE_LEVEL):
        raise refused("pipeline", f"its index allows no noise of level {NOISE_LEVEL} (max_noise_level)")
    return limit


def _tokens(files: Mapping[str, bytes]) -> list[int]:
    words = []
    for name in (f"tokenizer/{VOCABULARY}", f"tokenizer/{WORDS}"):
        if name in files:
            table, rest = vocabulary(files[name], name)
            _require_harmless(rest, name)
            words.append(table)
    special = settings_of(files, f"tokenizer/{SPECIAL}") if f"tokenizer/{SPECIAL}" in files else None
    return empty_text(settings_of(files, f"tokenizer/{WORD_SETTINGS}"), special, words)


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, None
            yield from _leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value
