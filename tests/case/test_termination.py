"""SIGTERM and SIGINT end a command, also where what they raised was swallowed on its way."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import time
from pathlib import Path

import pytest

from forensic.case.ending import Terminated
from forensic.case.progress import Silent
from forensic.cli import termination
from forensic.cli.termination import Heeding, end, heed

KINDS = pytest.mark.parametrize(
    ("signum", "raised"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)


@KINDS
def test_a_signal_that_a_library_swallowed_ends_the_work_at_the_next_frame(
    signum: int, raised: type[KeyboardInterrupt]
) -> None:
    with Heeding(Silent()).task("Working", 3, "frames") as task:
        task.advance()
        with contextlib.suppress(raised):  # as a callback out of foreign code may do
            end(signum, None)
        with pytest.raises(raised) as ended:
            task.advance()
        assert ended.type is raised
        task.advance()  # raised once: what ends the run is not interrupted again


def test_nothing_is_heeded_where_no_signal_came() -> None:
    heed()


def test_nothing_is_raised_again_while_an_end_is_put_on_record() -> None:
    with Heeding(Silent()).task("Working", 3, "frames") as task:
        try:
            end(signal.SIGTERM, None)
        except Terminated:
            task.advance()
        with pytest.raises(Terminated):
            heed()


@KINDS
def test_a_signal_amid_an_import_waits_until_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int, raised: type[KeyboardInterrupt]
) -> None:
    """A class that comes into being meanwhile would turn the exception into one that others catch."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "interrupted_module.py").write_text(
        "import os\n"
        "class Named:\n"
        "    def __set_name__(self, owner, name):\n"
        f"        os.kill(os.getpid(), {int(signum)})\n"
        "class Holder:\n"
        "    named = Named()\n"
        "finished = True\n"
    )
    monkeypatch.delitem(sys.modules, "interrupted_module", raising=False)
    before = signal.signal(signum, end), signal.getsignal(signal.SIGALRM)
    try:
        module = importlib.import_module("interrupted_module")
        assert module.finished
        with pytest.raises(raised):
            time.sleep(5.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signum, before[0])
        signal.signal(signal.SIGALRM, before[1])
        with contextlib.suppress(KeyboardInterrupt):
            heed()


def test_an_alarm_that_comes_while_an_end_is_put_on_record_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal came amid an import; the work noticed it at a frame before the alarm rang."""
    monkeypatch.setattr(termination, "_importing", lambda frame: True)
    before = signal.getsignal(signal.SIGALRM)
    try:
        end(signal.SIGTERM, None)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0.0
        with pytest.raises(Terminated):
            heed()
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0
        end(signal.SIGALRM, None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
