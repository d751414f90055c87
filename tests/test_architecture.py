"""The shape of the repository that documents promise."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import forensic

PACKAGE = Path(forensic.__file__).parent


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_frames_are_made_coded_only_by_decoder_quantiser_and_label() -> None:
    """Nobody else constructs a CodedFrame: the class of a picture cannot be set anew in passing."""
    allowed = {
        "frames/frame.py", "media/reader.py", "media/sandbox/reader.py", "media/label.py", "media/watermark.py",
        "media/writer.py",
        "case/validating/mapping.py", "validation/riskmap.py",  # the bench's, of their own class: mapped, not written
        "case/salvage.py",  # a resumed run's own frames: their class stands in a line that a signed entry covers
    }  # fmt: skip
    makers = set()
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CodedFrame":
                makers.add(path.relative_to(PACKAGE).as_posix())
    assert makers <= allowed, makers - allowed


def test_nothing_is_unpickled() -> None:
    for path in _modules():
        text = path.read_text("utf-8")
        assert not re.search(
            r"\bimport pickle\b|\bpickle\.load|allow_pickle=True|(?<!safetensors\.)torch\.load\(", text
        ), path


def _imported(path: Path) -> set[str]:
    """Modules that a module names in import statements, wherever they stand."""
    tree = ast.parse(path.read_text("utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_two_modules_open_network_connections_and_no_other() -> None:
    """Timestamps, and weight packs, which are fetched by one command alone."""
    reach: dict[str, set[str]] = {}
    for path in _modules():
        name = path.relative_to(PACKAGE).as_posix()
        imported = _imported(path)
        for module in (
            "forensic.registry.packs.download",
            "forensic.registry.packs.fetching",
            "forensic.case.modelfetch",
        ):
            if module in imported:
                reach.setdefault(module, set()).add(name)
        if name not in ("signing/tsa.py", "registry/packs/download.py"):
            heads = {module.partition(".")[0] for module in imported}
            assert not heads & {"urllib", "http", "requests", "socket", "ftplib", "aiohttp"}, path
    assert reach == {
        "forensic.registry.packs.download": {"registry/packs/fetching.py"},
        "forensic.registry.packs.fetching": {"case/modelfetch.py"},
        "forensic.case.modelfetch": {"cli/modelling.py"},
    }


def test_modules_have_sober_names_and_a_readable_length() -> None:
    for path in _modules():
        assert path.stem not in {"utils", "util", "helpers", "common", "misc"}, path
        assert len(path.read_text("utf-8").splitlines()) <= 400, path


@pytest.mark.parametrize("name", ["models", "policies", "reports"])
def test_shipped_data_is_found(name: str) -> None:
    from forensic.resources import data_root

    assert (data_root() / name).is_dir()
