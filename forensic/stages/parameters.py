"""Typed stage parameters: every one has a title, a unit, a range and a sentence that explains it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from forensic.errors import BadInput


class Parameters(BaseModel):
    """Base of all parameter models: immutable, unknown names refused, no silent type coercion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _tuples(cls, values: Any) -> Any:
        """TOML and JSON have arrays only; here they become tuples, at any depth."""
        return {name: _as_tuple(value) for name, value in values.items()} if isinstance(values, dict) else values


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


P = TypeVar("P", bound=Parameters)


class NoParameters(Parameters):
    """For stages without a choice."""


def parameter(default: Any = ..., *, title: str, description: str, unit: str, **limits: Any) -> Any:
    """Declare a field: ``default`` (``...`` for a required one), its ``unit`` and limits (``ge``, ``le``, ...)."""
    return Field(default, title=title, description=description, json_schema_extra={"unit": unit}, **limits)


def unit_of(model: type[Parameters], name: str) -> str:
    """Unit of field ``name``, as declared."""
    extra = model.model_fields[name].json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def describe(model: type[Parameters]) -> dict[str, dict[str, Any]]:
    """Name → title, unit, description, default, required and limits of every field (JSON-able)."""
    properties: dict[str, Any] = model.model_json_schema()["properties"] if model.model_fields else {}
    described = {}
    for name, field in model.model_fields.items():
        schema = properties[name]
        limits = {
            word: schema[key]
            for key, word in (
                ("minimum", "minimum"),
                ("maximum", "maximum"),
                ("exclusiveMinimum", "above"),
                ("exclusiveMaximum", "below"),
                ("enum", "one_of"),
                ("const", "one_of"),
                ("minItems", "fewest"),
                ("maxItems", "most"),
                ("pattern", "pattern"),
            )
            if key in schema
        }
        for option in schema.get("anyOf", ()):  # an optional number keeps its limits inside anyOf
            limits |= {key: option[key] for key in ("minimum", "maximum") if key in option}
        described[name] = {
            "title": field.title or name,
            "unit": unit_of(model, name),
            "description": field.description or "",
            "required": field.is_required(),
            "default": None if field.is_required() else schema.get("default"),
            **limits,
        }
    return described


def _sentence(model: type[Parameters], error: dict[str, Any]) -> str:
    """One validation error in plain words: parameter, what is wrong, unit and range."""
    location = error["loc"]
    name = str(location[0]) if location else ""
    if error["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) or "none"
        return f"There is no parameter {name!r} (known: {known})."
    if name not in model.model_fields:
        return f"{error['msg'].removeprefix('Value error, ')}."
    facts = describe(model)[name]
    parts = []
    if "minimum" in facts or "maximum" in facts:
        parts.append(f"from {facts.get('minimum', 'any')} to {facts.get('maximum', 'any')}")
    if "above" in facts:
        parts.append(f"above {facts['above']}")
    if "one_of" in facts:
        choices = facts["one_of"] if isinstance(facts["one_of"], list) else [facts["one_of"]]
        parts.append("one of " + ", ".join(map(str, choices)))
    allowed = f" Allowed: {', '.join(parts)}." if parts else ""
    if error["type"] == "missing":
        return f"Parameter {name!r} ({facts['unit']}) is required.{allowed}"
    given = repr(error.get("input"))
    given = given if len(given) <= 60 else given[:57] + "..."
    reason = error["msg"].removeprefix("Value error, ")
    return f"Parameter {name!r} (unit: {facts['unit']}) was given {given}: {reason}.{allowed}"


def read_parameters(model: type[P], stage: str, values: dict[str, Any]) -> P:
    """Validate ``values``. Raises ``BadInput`` (``stage.parameters``) naming parameter, unit and range."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        sentences = [_sentence(model, dict(item)) for item in error.errors(include_url=False)]
        raise BadInput(
            "stage.parameters",
            f"Stage {stage!r}: " + " ".join(sentences),
            f"'forensic stages show {stage}' lists its parameters.",
        ) from None
