"""What the folder of a diffusers pipeline may hold, held against a short list before diffusers sees any of it.

Allowed are an index that names a pipeline and components on the lists of
:mod:`forensic.registry.external.pipeline_kinds`, their settings as JSON, and their numbers as safetensors. Code,
pickles and links are refused, and so is what :mod:`forensic.registry.external.pipeline_index` refuses. Texts about the
model are left where they are, and said to be; so are files of half precision beside the same numbers in full. The bytes
that pass are those that are hashed, recorded and computed with: nothing is given a path or a name to look up.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from forensic.errors import BadInput
from forensic.registry.external.pipeline_index import described
from forensic.registry.external.pipeline_kinds import FILES, INDEX, STEMS, number_files, refused
from forensic.registry.external.tensor_list import require_widened

MOST_BYTES = 8 << 30
_MOST_FILES = 64
_CODE = {".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".exe", ".ipynb"}
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".npz", ".npy", ".joblib"}
_TEXTS = {".md", ".txt", ".rst", ".png", ".jpg", ".jpeg", ".webp", ".yaml"}
_NAMED_TEXTS = {".gitattributes", ".gitignore", "license", "licence", "notice", "readme"}


def read_folder(folder: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Files of the pipeline by name, and the names of those left out (texts about it, doubles in half precision).

    Raises ``BadInput``: ``model.external-pickle``, ``model.external-link``, ``model.external-file`` (not on the list),
    ``model.external-precision``, ``model.weights-invalid``, ``model.weights-unreadable``, and as
    :func:`forensic.registry.external.pipeline_index.described`.
    """
    found, left_out = {}, []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        suffix, base = path.suffix.lower(), path.name.lower()
        if path.is_symlink():
            raise refused("link", f"{name} is a link", "Copy the folder with what its links lead to (cp -rL).")
        if suffix in _CODE:
            raise refused("code", f"it holds code ({name}), and no model's own code is run here")
        if suffix in _PICKLES:
            raise refused("pickle", f"{name} is a pickle, or may hold one", "Keep safetensors files only.")
        if suffix in _TEXTS or base in _NAMED_TEXTS:
            left_out.append(name)
        elif name == INDEX or (path.name in FILES and name.count("/") == 1):
            found[name] = path
        else:
            raise refused(
                "file", f"{name} is no file that such a pipeline needs", "Take it out of a copy of the folder."
            )
    for name in doubles(found):
        del found[name]
        left_out.append(name)
    files: dict[str, bytes] = {}
    for name, path in sorted(found.items()):
        files[name] = _read(path, name, MOST_BYTES - sum(map(len, files.values())))
    for name, data in files.items():
        if name.endswith(".safetensors"):
            require_widened(data, name)
    described(files)
    return files, tuple(sorted(left_out))


def doubles(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are files of half precision beside the same numbers in full, which are taken instead.

    Two of half precision and none in full are refused (``model.external-pipeline``): neither is the other's rounding.
    """
    there, found = set(names), []
    for part in sorted({name.partition("/")[0] for name in there}):
        for stem in STEMS:
            plain, *halves = (f"{part}/{name}" for name in number_files(stem))
            halves = [name for name in halves if name in there]
            if plain in there:
                found += halves
            elif len(halves) > 1:
                raise refused(
                    "pipeline", f"{' and '.join(halves)} are two versions of the same numbers",
                    "Keep one of them, in a copy of the folder.",
                )  # fmt: skip
    return found


def _walk(folder: Path) -> list[Path]:
    """Files of the folder and of folders in it; a link to a folder comes as what it is, a link."""
    found, open_folders = [], [folder]
    while open_folders:
        try:
            entries = sorted(open_folders.pop().iterdir())
        except OSError as error:
            raise refused("file", f"the folder cannot be read ({error.strerror})") from error
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                open_folders.append(entry)
            else:
                found.append(entry)
        if len(found) + len(open_folders) > _MOST_FILES:
            raise refused("file", f"it holds more than {_MOST_FILES} files")
    return found


def _read(path: Path, name: str, most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise BadInput("model.weights-unreadable", f"{name} cannot be read: {error.strerror}.") from error
    if len(data) > most:
        raise refused("size", "its files exceed 8 GiB")
    return data
