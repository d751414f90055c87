"""SIGTERM ends a command, also where what it raised was swallowed on its way."""

from __future__ import annotations

import contextlib
import signal

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
