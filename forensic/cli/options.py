"""Options that several commands share, and opening the workspace that they name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forensic.case.progress import Silent
from forensic.cli.terminal import Terminal
from forensic.errors import UsageError

if TYPE_CHECKING:
    from forensic.case.workspace import Workspace

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT_WORKSPACE = "casework"


class Text(click.ParamType[Any]):
    """Text that has a place in records: valid Unicode, of bounded length."""

    name = "text"

    def __init__(self, longest: int = 2000) -> None:
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse bytes that are no UTF-8 (they arrive as lone surrogates) and overlong text."""
        text = str(value)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            self.fail("is not valid UTF-8", param, ctx)
        if len(text) > self._longest:
            self.fail(f"is longer than {self._longest} characters", param, ctx)
        return text


TEXT = Text()


def workspace_option(command: Command) -> Command:
    """``-w/--workspace``."""
    return click.option(
        "-w", "--workspace", type=click.Path(path_type=Path), metavar="DIR",
        help="Workspace; else $FORENSIC_WORKSPACE, else ./casework.",
    )(command)  # fmt: skip


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON value instead of text.")(command)


def quiet_option(command: Command) -> Command:
    """``--quiet``."""
    return click.option("--quiet", is_flag=True, help="No messages or progress on stderr.")(command)


def workspace_path(given: Path | None) -> Path:
    """The workspace that the option, the environment or the default names."""
    return given or Path(os.environ.get("FORENSIC_WORKSPACE") or DEFAULT_WORKSPACE)


def ask_passphrase() -> str:
    """Ask on the terminal. Raises ``UsageError`` (``identity.passphrase-needed``) where there is none."""
    if not sys.stdin.isatty():
        raise UsageError(
            "identity.passphrase-needed",
            "The signing key of this workspace has a passphrase and there is no terminal to ask for it.",
            "Give the command at a terminal.",
        )
    return str(click.prompt("Passphrase of the signing key", hide_input=True, err=True))


def existing(given: Path | None) -> Workspace:
    """Open the workspace for work that is signed."""
    from forensic.case.workspace import open_workspace

    return open_workspace(workspace_path(given), ask_passphrase)


def existing_for_reading(given: Path | None) -> Workspace:
    """Open the workspace for reading; needs no passphrase."""
    from forensic.case.workspace import open_workspace

    return open_workspace(workspace_path(given), None)


def existing_or_new(given: Path | None, command: str, say: Terminal | Silent) -> Workspace:
    """Open the workspace; where there is none, create one and say so, without any question."""
    from forensic.case.layout import WorkspaceLayout
    from forensic.case.workspace import UNPROTECTED, create_workspace, open_workspace

    path = workspace_path(given)
    if WorkspaceLayout(path).ledger.exists():
        return open_workspace(path, ask_passphrase)
    say.say(f"No workspace at {path}: creating one.")
    say.say(UNPROTECTED)
    return create_workspace(
        path, examiner=None, lab=None, passphrase=None, origin=f"forensic {command}, one-command use"
    )
