"""``policy`` and ``stages``: what there is and what it says."""

from __future__ import annotations

from typing import Any

import click

from forensic.cli.options import json_option
from forensic.cli.terminal import facts_of, result, result_json, result_text


def _list(items: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        result_json(items)
        return
    width = max((len(item["name"]) for item in items), default=0)
    for item in items:
        result(f"{item['name']:<{width}}  {item['class']:<12}  {item['title']}")


@click.group()
def policy() -> None:
    """Policies: what is allowed, and why."""


@policy.command("list")
@json_option
def policy_list(as_json: bool) -> None:
    """All shipped policies; the class is the highest that each can permit."""
    from forensic.policy.explain import highest_class
    from forensic.policy.store import load_policy, policy_names

    items = []
    for name in policy_names():
        loaded = load_policy(name)
        highest = highest_class(loaded)
        items.append(
            {
                "name": name,
                "class": "none" if highest is None else highest.label,
                "title": loaded.summary,
                "sha256": loaded.sha256,
                "rules": [rule.id for rule in loaded.rules],
            }
        )
    _list(items, as_json)


@policy.command("show")
@click.argument("name")
def policy_show(name: str) -> None:
    """The text of a policy."""
    from forensic.policy.store import load_policy

    loaded = load_policy(name)
    result_text(loaded.text)
    result(f"// SHA-256 {loaded.sha256}")


@policy.command("explain")
@click.argument("stage")
@click.option("--mode", type=click.Choice(["forensic", "creative"]), default="forensic", show_default=True)
@click.option("--policy", "name", metavar="NAME|FILE", help="Default: that of the mode.")
@click.option("--reason", default="", metavar="TEXT")
@click.option("--purpose", default="unstated", metavar="WORD")
@click.option("--acknowledge", "acknowledgement", default="", metavar="TEXT")
def policy_explain(stage: str, name: str | None, **stated: str) -> None:
    """Say in plain words whether STAGE would be permitted, and by which rules."""
    from forensic.case.explanation import explain_stage

    result_text(explain_stage(stage, policy=name, **stated))


@click.group()
def stages() -> None:
    """Processing stages: class, parameters, artefacts, literature."""


@stages.command("list")
@json_option
def stages_list(as_json: bool) -> None:
    """All stages."""
    from forensic.stages.catalogue import stage_names, stage_type

    _list([stage_type(name).describe() for name in stage_names()], as_json)


@stages.command("show")
@click.argument("name")
@json_option
def stages_show(name: str, as_json: bool) -> None:
    """What a stage does, its parameters, what it can do wrong, and where it is described."""
    from forensic.stages.catalogue import stage_type

    record = stage_type(name).describe()
    if as_json:
        result_json(record)
    else:
        facts_of(record)
