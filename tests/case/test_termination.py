"""SIGTERM ends a command, also where what it raised was swallowed on its way."""

from __future__ import annotations

import contextlib
import importlib
import signal
import time
from pathlib import Path

import pytest

from forensic.case.ending import Terminated
from forensic.case.progress import Silent
from forensic.cli.termination import Heeding, heed, terminate


def test_a_termination_that_a_library_swallowed_ends_the_work_at_the_next_frame() -> None:
    with Heeding(Silent()).task("Working", 3, "frames") as task:
        task.advance()
        with contextlib.suppress(Terminated):  # as a callback out of foreign code may do
            terminate(signal.SIGTERM, None)
        with pytest.raises(Terminated):
            task.advance()
        task.advance()  # raised once: what ends the run is not interrupted again


def test_nothing_is_heeded_where_no_signal_came() -> None:
    heed()


def test_a_termination_amid_an_import_waits_until_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that comes into being meanwhile would turn the exception into one that others catch."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "interrupted_module.py").write_text(
        "import os, signal, time\n"
        "class Named:\n"
        "    def __set_name__(self, owner, name):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "class Holder:\n"
        "    named = Named()\n"
        "finished = True\n"
    )
    before = signal.signal(signal.SIGTERM, terminate), signal.getsignal(signal.SIGALRM)
    try:
        module = importlib.import_module("interrupted_module")
        assert module.finished
        with pytest.raises(Terminated):
            time.sleep(5.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGALRM, before[1])
        with contextlib.suppress(Terminated):
            heed()
