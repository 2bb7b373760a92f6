"""Typed settings: models whose fields say what a key means and what it may be.

From them come the check of a configuration, which ends in one sentence, the schema for editors,
and the types of what jobs are told.
"""

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

# What patterns allow, in words; `text_like` adds them.
PATTERNS: dict[str, str] = {}


class Model(BaseModel):
    """A mapping with these keys and no others, that never changes; types are taken literally.

    `renamed` has the keys that had another name once: {old key: place of the new one}.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)
    renamed: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _no_other_key(cls, value: Any) -> Any:
        """Raise before anything else is said: a misspelt key explains a missing one."""
        for key in value if isinstance(value, dict) else ():
            if key in cls.model_fields:
                continue
            if key in cls.renamed:
                raise PydanticCustomError(
                    "renamed", "key with another name", {"key": key, "now": cls.renamed[key]}
                )
            known = list(cls.model_fields)
            raise PydanticCustomError("unknown", "no key", {"key": key, "known": known})
        return value


def setting(about: str, **bounds: Any) -> Any:
    """A key of a model: what it means, and its bounds (ge, gt, le, lt, default, ...)."""
    return Field(description=about, **bounds)


def _unique(values: list) -> list:
    if any(value in values[:i] for i, value in enumerate(values)):
        raise PydanticCustomError("repeated", "an entry is repeated")
    return values


def _scalar(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise PydanticCustomError("type", "wrong type", {"wanted": ["string", "integer"]})
    return value


def rising(values: Sequence[float]) -> Sequence[float]:
    """The numbers, if none is below the one before it."""
    if any(first > second for first, second in pairwise(values)):
        raise PydanticCustomError("order", "the numbers must rise")
    return values


def text_like(pattern: str, made_of: str) -> Any:
    """The type of a text that matches a pattern, which is told as `made_of`."""
    PATTERNS[pattern] = made_of
    return Annotated[str, StringConstraints(pattern=pattern)]


T = TypeVar("T", bound=Hashable)
# A list without repetition, as the schema of an editor knows it too.
Unique = Annotated[list[T], AfterValidator(_unique), Field(json_schema_extra={"uniqueItems": True})]


def values(kind: Any, **bounds: Any) -> Any:
    """The type of a list of different values, each of a kind and within bounds."""
    return Unique[Annotated[kind, Field(**bounds)]]


Rising = Annotated[list[float], AfterValidator(rising)]
Name = text_like("^[a-z0-9_]+$", "lower-case letters, digits and _")
Text = Annotated[str, StringConstraints(min_length=1)]
CALLED = "What the report calls it; its name in words, if left out."
DataName = text_like("^[A-Za-z0-9_]+$", "letters, digits and _")
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[list[Rate], Field(min_length=2, max_length=2)]  # decay of Adam's moments
Label = Annotated[
    Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "integer"]})
]  # of a unit


def optional(info: FieldInfo, about: str = "") -> tuple[Any, Any]:
    """Type and default of a key with the bounds of another one, that may be left out."""
    kind = info.annotation
    for bound in info.metadata:
        kind = Annotated[kind, bound]
    return kind | None, setting(about or info.description or "", default=None)


def changes_of(model: type[Model]) -> type[Model]:
    """A model with the keys of another, all of which may be left out."""
    fields = {name: optional(info) for name, info in model.model_fields.items()}
    return create_model(f"{model.__name__}Changes", __base__=Model, **fields)
