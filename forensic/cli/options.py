"""Options that several commands share, and opening the workspace that they name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forensic.case.progress import Progress
from forensic.cli.passphrases import passphrases

if TYPE_CHECKING:
    from forensic.case.workspace import Workspace
    from forensic.signing.token import TokenPlace

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


def store_option(command: Command) -> Command:
    """``--store``."""
    return click.option(
        "--store", type=click.Path(path_type=Path), metavar="DIR",
        help="Folder of fetched and enrolled models; else $FORENSIC_MODEL_STORE, else the user's data folder.",
    )(command)  # fmt: skip


def quiet_option(command: Command) -> Command:
    """``--quiet``."""
    return click.option("--quiet", is_flag=True, help="No messages or progress on stderr.")(command)


def workspace_path(given: Path | None) -> Path:
    """The workspace that the option, the environment or the default names."""
    return given or Path(os.environ.get("FORENSIC_WORKSPACE") or DEFAULT_WORKSPACE)


def existing(given: Path | None, identity: str | None = None) -> Workspace:
    """Open the workspace for work that is signed: by the examiner, or by the further identity named."""
    from forensic.case.layout import WorkspaceLayout
    from forensic.case.workspace import identity_folder, open_workspace

    path = workspace_path(given)
    sources = passphrases()
    return open_workspace(
        path, lambda: sources.of(identity_folder(WorkspaceLayout(path.absolute()), identity)), identity=identity
    )


def existing_for_reading(given: Path | None) -> Workspace:
    """Open the workspace for reading; needs no passphrase."""
    from forensic.case.workspace import open_workspace

    return open_workspace(workspace_path(given), None)


def existing_or_new(given: Path | None, command: str, say: Progress) -> Workspace:
    """Open the workspace; where there is none, create one and say so, without any question."""
    from forensic.case.layout import WorkspaceLayout
    from forensic.case.workspace import UNPROTECTED, create_workspace

    path = workspace_path(given)
    if WorkspaceLayout(path).ledger.exists():
        return existing(given)
    say.say(f"No workspace at {path}: creating one.")
    say.say(UNPROTECTED)
    return create_workspace(
        path, examiner=None, lab=None, passphrase=None, origin=f"forensic {command}, one-command use"
    )


def token_option(command: Command) -> Command:
    """``--token`` and ``--generate-key``."""
    command = click.option(
        "--generate-key", is_flag=True, help="Make the key on the token (else it must be there already)."
    )(command)
    return click.option(
        "--token", "token_file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="TOML",
        help="PKCS#11 token that holds the key: module, token_label, key_label or key_id.",
    )(command)  # fmt: skip


def new_key(what: str, token_file: Path | None, generate: bool) -> tuple[str | None, TokenPlace | None]:
    """Passphrase (or PIN) and place of a key about to be made; on a token it is made here if asked for."""
    if token_file is None:
        if generate:
            raise click.UsageError("--generate-key goes with --token.")
        return passphrases().new(what), None
    from forensic.signing.token import generate_on_token, read_token_description

    place = read_token_description(token_file)
    pin = passphrases().new(what, token=True) or ""
    if generate:
        generate_on_token(place, pin)
    return pin, place
