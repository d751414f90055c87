"""What the folder of a diffusers pipeline may hold, held against a short list before diffusers sees any of it.

Allowed are an index that names a pipeline and components on the lists here, their settings as JSON, and their numbers
as safetensors. Code, pickles, links, components of other packages, and settings that name code or an address on a
network are refused. Texts about the model are left where they are, and said to be. The bytes that pass are those that
are hashed, recorded and computed with: diffusers is given no path and no name to look up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from forensic.errors import BadInput

INDEX = "model_index.json"
NUMBERS, SETTINGS, SCHEDULE = "diffusion_pytorch_model.safetensors", "config.json", "scheduler_config.json"
MOST_BYTES = 8 << 30
_MOST_FILES = 64
_LARGEST_SETTINGS = 1 << 20
#: By pipeline: its components, and the classes of diffusers that each may be.
PIPELINES: dict[str, dict[str, frozenset[str]]] = {
    "LDMSuperResolutionPipeline": {
        "unet": frozenset({"UNet2DModel"}),
        "vqvae": frozenset({"VQModel"}),
        "scheduler": frozenset(
            {
                "DDIMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
                "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler",
            }
        ),
    },
}  # fmt: skip
_CODE = {".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".exe", ".ipynb"}
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".npz", ".npy", ".joblib"}
_TEXTS = {".md", ".txt", ".rst", ".png", ".jpg", ".jpeg", ".webp", ".yaml"}
_NAMED_TEXTS = {".gitattributes", ".gitignore", "license", "licence", "notice", "readme"}
#: Keys by which settings make Hugging Face libraries load code.
_CODE_KEYS = {"auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code", "_module"}


def read_folder(folder: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Files of the pipeline by name, and the names of those left out (texts about it).

    Raises ``BadInput``: ``model.external-code``, ``model.external-pickle``, ``model.external-link``,
    ``model.external-address``, ``model.external-pipeline`` (of no kind that is known, or not whole),
    ``model.external-file`` (not on the list), ``model.external-size``, ``model.weights-unreadable``.
    """
    found, left_out = {}, []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        suffix, base = path.suffix.lower(), path.name.lower()
        if path.is_symlink():
            raise _refused("link", f"{name} is a link", "Copy the folder with what its links lead to (cp -rL).")
        if suffix in _CODE:
            raise _refused("code", f"it holds code ({name}), and no model's own code is run here")
        if suffix in _PICKLES:
            raise _refused("pickle", f"{name} is a pickle, or may hold one", "Keep safetensors files only.")
        if suffix in _TEXTS or base in _NAMED_TEXTS:
            left_out.append(name)
        elif PurePosixPath(name).name in (INDEX, NUMBERS, SETTINGS, SCHEDULE) and name.count("/") <= 1:
            found[name] = path
        else:
            raise _refused(
                "file", f"{name} is no file that such a pipeline needs", "Take it out of a copy of the folder."
            )
    files = {name: _read(path, name) for name, path in sorted(found.items())}
    for name, data in files.items():
        if name.endswith(".safetensors"):
            require_safetensors(data, name)
    if sum(map(len, files.values())) > MOST_BYTES:
        raise _refused("size", "its files exceed 8 GiB")
    components(files)
    return files, tuple(sorted(left_out))


def components(files: dict[str, bytes]) -> tuple[str, dict[str, str]]:
    """Name of the pipeline that ``files`` describe, and the class of each of its components; all of them are there.

    Raises as :func:`read_folder`.
    """
    index = settings_of(files, INDEX)
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise _refused("code", "its index names a pipeline in a file of its own")
    if name not in PIPELINES:
        raise _refused("pipeline", f"its pipeline, {name[:100]!r}, is none of " + ", ".join(PIPELINES))
    wanted, classes = PIPELINES[name], {}
    for part, value in index.items():
        if part.startswith("_"):
            continue
        if not isinstance(value, list) or len(value) != 2 or part not in wanted:
            raise _refused("pipeline", f"a {name} has no component or setting {part[:100]!r}")
        library, kind = value
        if library != "diffusers":
            raise _refused("code", f"component {part!r} is of {str(library)[:100]!r}, not of diffusers")
        if not isinstance(kind, str) or kind not in wanted[part]:
            raise _refused(
                "pipeline", f"component {part!r} is a {str(kind)[:100]!r}, not " + " or ".join(sorted(wanted[part]))
            )
        classes[part] = kind
    if classes.keys() != wanted.keys():
        raise _refused("pipeline", "it lacks " + ", ".join(sorted(wanted.keys() - classes.keys())))
    needed = {INDEX}
    for part, kind in classes.items():
        config = f"{part}/{SCHEDULE if kind.endswith('Scheduler') else SETTINGS}"
        needed |= {config} if kind.endswith("Scheduler") else {config, f"{part}/{NUMBERS}"}
        if settings_of(files, config).get("_class_name", kind) != kind:
            raise _refused("pipeline", f"{config} is of another class than the index says")
    if files.keys() != needed:
        odd = ", ".join(sorted(files.keys() ^ needed))
        raise _refused("pipeline", f"files are missing or too many: {odd}")
    return name, classes


def require_safetensors(data: bytes, name: str) -> None:
    """Raise ``BadInput`` (``model.weights-invalid``) for what does not begin as a safetensors file does.

    The names of tensors come first, as JSON behind their length; a pickle or an archive by that name is none.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        if not 2 <= length <= len(data) - 8 or not isinstance(json.loads(data[8 : 8 + length]), dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise BadInput(
            "model.weights-invalid",
            f"{name} is not a safetensors file, whatever its name says.",
            "Nothing of it was executed.",
        ) from None


def settings_of(files: dict[str, bytes], name: str) -> dict[str, Any]:
    """The JSON object in file ``name``. Raises as :func:`read_folder`."""
    data = files.get(name)
    if data is None:
        raise _refused("pipeline", f"it has no {name}")
    if len(data) > _LARGEST_SETTINGS:
        raise _refused("size", f"{name} exceeds 1 MiB")
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused("pipeline", f"{name} is not JSON") from error
    if not isinstance(table, dict):
        raise _refused("pipeline", f"{name} is no JSON object")
    for key, value in _leaves(table):
        if key in _CODE_KEYS:
            raise _refused("code", f"{name} names code ({key})")
        if isinstance(value, str) and "://" in value:
            raise _refused("address", f"{name} names an address ({key})")
    return table


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


def _walk(folder: Path) -> list[Path]:
    """Files of the folder and of folders in it; a link to a folder comes as what it is, a link."""
    found, open_folders = [], [folder]
    while open_folders:
        try:
            entries = sorted(open_folders.pop().iterdir())
        except OSError as error:
            raise _refused("file", f"the folder cannot be read ({error.strerror})") from error
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                open_folders.append(entry)
            else:
                found.append(entry)
        if len(found) + len(open_folders) > _MOST_FILES:
            raise _refused("file", f"it holds more than {_MOST_FILES} files")
    return found


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput("model.weights-unreadable", f"{name} cannot be read: {error.strerror}.") from error


def _refused(what: str, why: str, remedy: str = "") -> BadInput:
    return BadInput(f"model.external-{what}", f"The pipeline's folder is refused: {why}.", remedy)
