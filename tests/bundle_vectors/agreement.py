"""The two verifiers, asked about the same bundle: `forensic verify`, and docs/formats/verify_bundle.py, which was
written from the format documents alone."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path
from typing import Any

from forensic.case.verification.trust import Trust
from tests.case.bundling import failures

SCRIPT = Path(__file__).parents[2] / "docs" / "formats" / "verify_bundle.py"


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("verify_bundle", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = _loaded()


def examine(path: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and last line of the independent verifier."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = script.main([str(path), *arguments])
    last = out.getvalue().splitlines()[-1]
    assert (code, last == "OK", last.startswith("FAILED: ")) in ((0, True, False), (1, False, True)), last
    return code, last


def both_accept(path: Path, *arguments: str, trust: Trust | None = None) -> None:
    """Neither verifier finds a fault."""
    assert not failures(path, trust or Trust())
    assert examine(path, *arguments) == (0, "OK")


def both_refuse(path: Path, what: object = "") -> str:
    """Both verifiers find a fault; what the independent one says."""
    code, said = examine(path)
    assert failures(path), f"{what}: only the independent verifier fails: {said}"
    assert code == 1, f"{what}: only forensic verify fails: {sorted(failures(path))}"
    return said
