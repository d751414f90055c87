"""``validate``: does the program do on this machine what a laboratory requires of it?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from forensic.cli.options import TEXT, existing_or_new, json_option, quiet_option, workspace_option
from forensic.cli.terminal import reporter, result, result_json


class _Deviation(click.ParamType[Any]):
    name = "ID=TEXT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Requirement and what was done otherwise."""
        if isinstance(value, tuple):
            return value
        named, equals, text = TEXT.convert(value, param, ctx).partition("=")
        if not equals or not named.strip() or not text.strip():
            self.fail("must be ID=TEXT, for example FI-02='scenes of our own were used'", param, ctx)
        return named.strip(), text.strip()


_NEW = click.Path(path_type=Path)


@click.command()
@click.option("--suite", type=TEXT, metavar="NAME|FILE.toml", help="Suite: standard (default), quick, or your own.")
@click.option("--scenes", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              help="Pictures of your own as scenes, for conditions that ask for them.")  # fmt: skip
@click.option("--deviation", "deviations", type=_Deviation(), multiple=True,
              help="What is done otherwise than the method says; ID: a requirement, or GENERAL.")  # fmt: skip
@click.option("--master", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="Attestation to compare with; default: this workspace's first that passed.")  # fmt: skip
@click.option("--new-master", is_flag=True, help="Compare with none; if it passes, this is the workspace's master.")
@click.option("--keep-master", type=_NEW, metavar="FILE", help="Write the attestation there too, if it passes.")
@click.option("--out", type=_NEW, metavar="DIR", help="New folder for the result; default: in the workspace.")
@click.option("--keep-bench", type=_NEW, metavar="DIR", help="Keep recordings and runs there; default: removed.")
@workspace_option
@json_option
@quiet_option
def validate(workspace: Path | None, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Validate this installation by a preregistered suite, and sign the result.

    Requirements and limits go on the record first. Ground truth is simulated here. Exit code 0 if every mandatory
    requirement is met (and the master agrees), else 1. The last line on stdout is the folder of the result.
    """
    from forensic.case.validating.validate import ValidateRequest
    from forensic.case.validating.validate import validate as validate_here

    say = reporter(quiet)
    with existing_or_new(workspace, "validate", say) as opened:
        done = validate_here(opened, ValidateRequest(**asked, command=("forensic", *sys.argv[1:])), say)
    record = done.predicate
    if as_json:
        result_json(
            {
                "validation": done.id,
                "verdict": record["verdict"],
                "counts": record["counts"],
                "folder": str(done.folder),
                "report": str(done.folder / "report.pdf"),
                "results": [{key: one[key] for key in ("id", "verdict", "reason")} for one in record["results"]],
                "master": record["master"],
            }
        )
    else:
        for one in record["results"]:
            if one["verdict"] != "PASS":
                result(f"{one['verdict']:<8} {one['id']}  {one['reason']}")
        counts = ", ".join(f"{number} {word}" for word, number in record["counts"].items() if number)
        result(f"verdict {record['verdict']} ({counts})")
        if record["master"] is not None:
            master = record["master"]
            rule = f"with {master['validation']}, rule: {master['rule']}"
            listed = f"; {len(master['differences'])} differences listed in the report"
            result(f"master  agrees {rule}" if master["agrees"] else f"master  DOES NOT AGREE {rule}{listed}")
        result(f"report  {done.folder / 'report.pdf'}")
        result(str(done.folder))
    if not done.passed:
        raise click.exceptions.Exit(1)
