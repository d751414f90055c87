"""The second verifier stands alone, and reads what other libraries write as they do."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tests.bundle_vectors.agreement import SCRIPT, examine, script
from tests.case.bundling import (
    Disclosure,
    predicate_of,
)


def test_it_is_short_and_needs_the_standard_library_and_cryptography_alone() -> None:
    text = SCRIPT.read_text("utf-8")
    assert len(text.splitlines()) < 450 and max(map(len, text.splitlines())) <= 120
    imported = set()
    for statement in ast.walk(ast.parse(text)):
        if isinstance(statement, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0 and statement.module
            imported.add(statement.module.partition(".")[0])
    assert imported - {"cryptography"} <= sys.stdlib_module_names
    assert not imported & {"socket", "subprocess", "urllib", "http", "ctypes", "importlib", "pickle"}
    assert "eval(" not in text and "exec(" not in text and "__import__" not in text


def test_it_runs_where_forensic_cannot_be_imported_and_touches_nothing(disclosure: Disclosure, tmp_path: Path) -> None:
    guard = (
        "import os, runpy, sys\n"
        "sys.modules['forensic'] = None\n"
        "def watch(event, arguments):\n"
        "    writes = event == 'open' and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)\n"
        "    acts = event.startswith(('socket', 'subprocess', 'shutil', 'ctypes', 'os.')) and event not in (\n"
        "        'os.scandir', 'os.listdir')\n"
        "    if writes or acts:\n"
        "        os.write(2, f'{event} {arguments}'.encode()); os._exit(9)\n"
        "sys.argv = sys.argv[1:]\n"
        "sys.addaudithook(watch)\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    fingerprint = predicate_of(disclosure.folder) and disclosure.case.predicate()["examiner"]["identity"]
    for path in (disclosure.folder, disclosure.archive):
        done = subprocess.run(
            [sys.executable, "-I", "-B", "-c", guard, SCRIPT, path, "--fingerprint", fingerprint["certificate_sha256"]],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, env={"PATH": ""},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("\nOK\n"), done.stdout + done.stderr
        assert f"B16, B17 run {disclosure.case.run_id}" in done.stdout and "Not checked" in done.stdout
    assert list(tmp_path.iterdir()) == []
    refused = subprocess.run(
        [sys.executable, "-I", SCRIPT, tmp_path / "nothing"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (refused.returncode, refused.stderr) == (1, "") and "FAILED: B1" in refused.stdout


numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53) + 1, 2**53 - 1))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(st.characters(exclude_categories=("Cs",)))),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner)
    ),
    max_leaves=8,
)


@given(values)
def test_its_canonical_json_is_that_of_another_library(value: Any) -> None:
    data = rfc8785.dumps(value)
    assert script.canonical(script.parse(data)).encode() == data
    for other in (json.dumps(value, indent=1).encode(), b" " + data, data + b"\n"):
        if other != data:
            with pytest.raises(ValueError):
                script.parse(other)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}', '{"b":1,"a":1}', "1.0", "1e2", "-0", "9007199254740993", "1E400", "NaN", "Infinity", "[1, 2]",
        '"\\u0041"', '"\\ud800"', '"\\/"', '{"a":0.10}', "1e+21 ", "[" * 100_000, "0.0000001", "1e-6", "1e20",
    ],
)  # fmt: skip
def test_json_in_another_form_is_refused(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        script.parse(text.encode())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_without_a_traceback(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.zip"
    for content in (data, b"PK\3\4" + data):
        path.write_bytes(content)
        assert examine(path)[0] == 1
