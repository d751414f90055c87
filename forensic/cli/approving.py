"""``approve``: a second person's signed word for one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensic.cli.options import TEXT, existing, existing_for_reading, json_option, workspace_option
from forensic.cli.runs import FRAMES, PURPOSES, REGION
from forensic.cli.terminal import reporter, result, result_json

if TYPE_CHECKING:
    from forensic.case.approvals import RecordedApproval


@click.command()
@click.argument("exhibit", required=False, type=TEXT, metavar="[EXHIBIT]")
@click.option("--recipe", type=TEXT, metavar="NAME|FILE.toml", help="As the run will be given it.")
@click.option("--mode", type=click.Choice(["forensic", "creative"]), help="Default: forensic.")
@click.option("--purpose", type=click.Choice(PURPOSES), help="What the result is for.")
@click.option("--scale", type=click.IntRange(1, 16), metavar="N", help="As the run will be given it.")
@click.option("--roi", type=REGION, help="As the run will be given it.")
@click.option("--frames", type=FRAMES, help="Approve this range only; default: any.")
@click.option("--policy", type=TEXT, metavar="NAME|FILE", help="Policy of the run; default: that of the mode.")
@click.option("--note", type=TEXT, metavar="TEXT", help="What was looked at, and why this is approved (or withdrawn).")
@click.option("--as", "name", type=TEXT, metavar="NAME", help="Whose key signs: an identity of this workspace.")
@click.option("--withdraw", type=click.IntRange(1), metavar="SEQ", help="Withdraw the approval with this entry number.")
@click.option("--list", "listing", is_flag=True, help="Show approvals and what became of them; needs no key.")
@workspace_option
@json_option
def approve(
    exhibit: str | None,
    note: str | None,
    name: str | None,
    withdraw: int | None,
    listing: bool,
    workspace: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Approve one run on EXHIBIT before it is made. It is bound to what is named here, and used once.

    The run finds the approval by itself: give enhance the same exhibit, recipe, scale, region, mode,
    purpose and policy.
    """
    from forensic.case import approvals

    if listing:
        with existing_for_reading(workspace) as opened:
            _show(approvals.approvals(opened, exhibit), as_json)
        return
    if name is None or note is None:
        raise click.UsageError("An approval needs --as NAME (whose key signs) and --note TEXT.")
    if withdraw is not None:
        with existing(workspace, name) as opened:
            entry = approvals.withdraw(opened, withdraw, note)
    elif exhibit is None:
        raise click.UsageError("Name the exhibit.")
    else:
        with existing(workspace, name) as opened:
            terms = _terms(opened, exhibit, asked)
            entry = approvals.give(opened, terms, note)
    if as_json:
        result_json({"seq": entry.seq, "hash": entry.hash, "event": entry.event, **entry.data})
    else:
        result(f"{entry.event} as entry {entry.seq}")


def _terms(opened: Any, exhibit: str, asked: dict[str, Any]) -> Any:
    """The terms that a run asked for in this way would have."""
    from forensic.case.approvals import terms_of
    from forensic.case.exhibits import find_exhibit
    from forensic.case.graining import with_grain
    from forensic.case.plan import DEFAULT_POLICY, DEFAULT_RECIPE, EnhanceRequest, settle
    from forensic.errors import UsageError
    from forensic.policy.store import load_policy
    from forensic.stages.recipe import load_recipe

    found = find_exhibit(opened, exhibit)
    if found is None:
        raise UsageError("exhibit.unknown", f"{exhibit!r} is no exhibit of this workspace.", "See: forensic log")
    request = EnhanceRequest(**asked, command=("forensic", *sys.argv[1:]))
    base = load_recipe(request.recipe or DEFAULT_RECIPE)
    plan = settle("(an approval)", found, request, 1, with_grain(opened, found, base, None, reporter(True)))
    policy = load_policy(request.policy or DEFAULT_POLICY[plan.mode])
    frames = None if request.frames is None else plan.frames
    return terms_of(found, plan.recipe, plan.mode, request.purpose, policy, frames)


def _show(found: list[RecordedApproval], as_json: bool) -> None:
    records = [one.to_record() for one in found]
    if as_json:
        result_json(records)
        return
    for record in records:
        terms = record["terms"]
        certified = "certified" if record["certified"] else f"not certified: {record['certified_detail']}"
        result(f"{record['seq']:>5}  {record['utc']}  {record['state']}")
        result(f"       by {record['by']} ({record['role']}, {certified}): {record['note']}")
        result(
            f"       exhibit {terms['exhibit']}, recipe {terms['recipe']['name']}, mode {terms['mode']}, "
            f"purpose {terms['purpose']}, policy {terms['policy']['name']}, "
            f"frames {'any' if terms['frames'] is None else '{}:{}'.format(*terms['frames'])}"
        )
