"""Entry point: commands, and how every way of ending becomes an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from forensic import __version__
from forensic.case.ending import why_ended
from forensic.cli.anchoring import anchor, witness
from forensic.cli.approving import approve
from forensic.cli.calibrating import calibrate
from forensic.cli.catalogues import policy, stages
from forensic.cli.checking import doctor, verify
from forensic.cli.custody import acquire, init, log
from forensic.cli.disclosing import bundle
from forensic.cli.exporting import export_run
from forensic.cli.graining import grain
from forensic.cli.handling import custody
from forensic.cli.identities import identity
from forensic.cli.lensing import lens
from forensic.cli.masking import mask
from forensic.cli.modelling import models
from forensic.cli.passphrases import Passphrases
from forensic.cli.runs import enhance, report, reproduce, resume
from forensic.cli.surveying import survey
from forensic.cli.terminal import printable, result_json
from forensic.cli.termination import heed_signals
from forensic.cli.validating import validate
from forensic.errors import ExitCode, ForensicError, Interrupted


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="forensic")
@click.option(
    "--passphrase-fd", type=click.IntRange(0), metavar="N",
    help="Read passphrases from this file descriptor: one line each, in the order in which they are asked for.",
)  # fmt: skip
@click.pass_context
def cli(context: click.Context, passphrase_fd: int | None) -> None:
    """Evidence-grade video enhancement under a chain of custody.

    Exit codes: 0 ok, 1 verification failed, 2 usage, 3 refused by policy, 4 bad input,
    5 interrupted, 6 calibrated without a LOW label, 70 internal error.
    """
    context.obj = Passphrases(passphrase_fd)
    context.call_on_close(context.obj.close)


for _command in (
    init, acquire, survey, lens, grain, mask, enhance, resume, report, verify, reproduce, bundle, anchor, witness,
    export_run, custody, log, policy, models, stages, doctor, validate, calibrate, identity, approve,
):  # fmt: skip
    cli.add_command(_command)


def _fail(error: ForensicError, as_json: bool) -> int:
    click.echo(f"forensic: [{error.code}] {printable(error.message)}", err=True)
    if error.remedy:
        click.echo(f"  {printable(error.remedy)}", err=True)
    notes = list(getattr(error, "__notes__", ()))
    for note in notes:
        click.echo(f"  {printable(note)}", err=True)
    if as_json:
        about = {"code": error.code, "message": error.message, "remedy": error.remedy}
        result_json({"error": {**about, "notes": notes} if notes else about})
    return int(error.exit_code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line ``arguments`` (without the program's name) and return the exit code."""
    as_json = "--json" in arguments
    try:
        outcome = cli.main(args=list(arguments), prog_name="forensic", standalone_mode=False)
        return outcome if isinstance(outcome, int) else int(ExitCode.OK)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        if as_json:
            result_json({"error": {"code": "usage", "message": error.format_message(), "remedy": ""}})
        return int(ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort) as stopped:
        # Under ``python -m`` an interrupt that passed through exec() would end the process by SIGINT
        # whatever the exit code; a harmless exec() clears CPython's note of it.
        exec("pass")  # noqa: S102
        cause = stopped.__cause__ if isinstance(stopped, click.Abort) else stopped  # click wraps what it catches
        code, reason = why_ended(cause if isinstance(cause, KeyboardInterrupt) else KeyboardInterrupt())
        return _fail(Interrupted(code, reason), as_json)
    except ForensicError as error:
        return _fail(error, as_json)
    except BrokenPipeError:
        # The reader of our output went away; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the outermost net: a defect of ours, shown as one
        click.echo(f"forensic: internal error: {type(error).__name__}: {printable(str(error))}", err=True)
        if os.environ.get("FORENSIC_TRACEBACK"):
            traceback.print_exc()
        else:
            click.echo("  This is a defect. Set FORENSIC_TRACEBACK=1 and repeat it to see where.", err=True)
        if as_json:
            result_json({"error": {"code": "internal", "message": str(error), "remedy": ""}})
        return int(ExitCode.INTERNAL)


def main() -> NoReturn:
    """The ``forensic`` command."""
    heed_signals()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
