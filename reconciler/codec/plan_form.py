"""The JSON of a saved plan, field by field.

What is said here once is the published schema (`schemas/plan.schema.json`), its reference, and what `codec.plan` reads
back. Validation is strict and total: a key or a word that is not known is refused and nothing is converted, so that a
file of another version, or from another hand, is not taken for what it is not. Contents are any JSON: their digests
vouch for them.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from reconciler.model.plan import Reason, UpdateKind

__all__ = [
    "PLAN",
    "Adopt",
    "Blame",
    "Change",
    "Collision",
    "Create",
    "Definition",
    "Delete",
    "Drift",
    "FieldChange",
    "Move",
    "Origin",
    "PlanDocument",
    "Rename",
    "Resecret",
    "Update",
]

Key: TypeAlias = Annotated[str, Field(title="key", min_length=1, examples=["tracker", "tracker/telemetry"])]
Digest: TypeAlias = Annotated[str, Field(title="digest")]
Why: TypeAlias = Annotated[Reason, Field(strict=False)]


class _Form(BaseModel):
    """One mapping of a plan file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_camel)


class Origin(_Form):
    """The place in the files that declares something."""

    file: str = Field(description="Path of the file.")
    line: int = Field(description="Line, from 1.")
    column: int = Field(description="Column in characters, from 1.")
    end_column: int = Field(description="The column behind the last character.")
    source: str = Field(description="The whole line.")


class Definition(_Form):
    """A definition as it was or will be."""

    digest: Digest = Field(description="Digest of the content.")
    content: dict[str, Any] = Field(
        description="Its fields as in the files, settled, without those that equal their default. "
        "A secret is a reference by name."
    )


class FieldChange(_Form):
    """One field that differs; a side on which it is absent is left out."""

    path: list[str] = Field(description="The way to the field in the content.", examples=[["headers", "X-Key"]])
    before: Any = Field(default=None, description="The value before.")
    after: Any = Field(default=None, description="The value after.")


class _Change(_Form):
    key: Key = Field(description="What it is about: a device type, or a callback below one.")
    reason: Why = Field(description="Why it is in the plan.")


class Create(_Change):
    """Something new; refused when the key is taken at the target."""

    kind: Literal["create"] = Field(description="What is done.")
    after: Definition = Field(description="What will be there.")
    origin: Origin | None = Field(description="Where it is declared.")


class Update(_Change):
    """Something that exists, with other content."""

    kind: UpdateKind = Field(
        description="What is done: enable and disable change nothing but that; replace changes the type or the channel "
        "of a callback."
    )
    before: Definition = Field(description="What has to be there still.")
    after: Definition = Field(description="What will be there.")
    fields: list[FieldChange] = Field(description="What differs.")
    origin: Origin | None = Field(description="Where it is declared.")


class Delete(_Change):
    """Something that goes."""

    kind: Literal["delete"] = Field(description="What is done.")
    before: Definition = Field(description="What has to be there still.")


class Move(_Change):
    """Something that exists, under another key and perhaps with other content."""

    kind: Literal["move"] = Field(description="What is done.")
    from_: Key = Field(alias="from", description="The key that it leaves.")
    before: Definition = Field(description="What has to be there still, under the key that it leaves.")
    after: Definition = Field(description="What will be there.")
    fields: list[FieldChange] = Field(description="What differs.")
    origin: Origin | None = Field(description="Where it is declared.")


class Adopt(_Change):
    """Something that another project owns, or nobody, and that this one takes over."""

    kind: Literal["adopt"] = Field(description="What is done.")
    taken_from: str = Field(description="The project that owns it until now; empty when nobody does.")
    before: Definition = Field(description="What has to be there still.")
    after: Definition = Field(description="What will be there.")
    fields: list[FieldChange] = Field(description="What differs.")
    origin: Origin | None = Field(description="Where it is declared.")


class Resecret(_Change):
    """A secret with another value than at the last publication; its value is nowhere in a plan."""

    kind: Literal["resecret"] = Field(description="What is done.")
    name: str = Field(description="Name of the secret.")
    before: str | None = Field(description="Fingerprint of the published value; null when there was none.")
    after: str | None = Field(description="Fingerprint of the value now; null when there is none.")
    callbacks: list[Key] = Field(description="Everything that refers to it.")


Change: TypeAlias = Annotated[
    Create | Update | Delete | Move | Adopt | Resecret,
    Field(discriminator="kind"),
]


class Base(_Form):
    """The state of the target that the plan was made from."""

    revision: int = Field(description="Number of its revision; 0 before the first.")
    digest: str = Field(description="Digest of all that it held.")


class Summary(_Form):
    """How many changes of each kind there are."""

    create: int = Field(description="How many are created.")
    update: int = Field(description="How many get other content.")
    enable: int = Field(description="How many are switched on.")
    disable: int = Field(description="How many are switched off.")
    replace: int = Field(description="How many get another type or channel.")
    delete: int = Field(description="How many go.")
    move: int = Field(description="How many get another key.")
    adopt: int = Field(description="How many are taken over.")
    resecret: int = Field(description="How many secrets have other values.")


class Blame(_Form):
    """Who changed something at the target."""

    by: str = Field(description="Who.")
    revision: int = Field(description="In which revision.")
    at: str | None = Field(description="When, in ISO 8601.")


class Drift(_Form):
    """Something that was changed at the target behind the files."""

    key: Key = Field(description="What it is about.")
    kind: Literal["changed", "vanished", "appeared"] = Field(description="What became of it.")
    before: Definition | None = Field(description="What the files had brought about; null when it appeared.")
    after: Definition | None = Field(description="What is there now; null when it vanished.")
    fields: list[FieldChange] = Field(description="What differs.")
    undone: bool = Field(description="Whether the plan brings back what the files say.")
    blame: Blame | None = Field(description="Who did it; null when the history does not tell.")


class Rename(_Form):
    """What looks like one definition under a new name."""

    before: Key = Field(description="What goes or is left alone.")
    after: Key = Field(description="What is created.")
    file: str = Field(description="Where to add the lines, if it is a rename.")
    lines: str = Field(description="The YAML to add.")


class Collision(_Form):
    """What was set aside, because another project holds it."""

    key: Key = Field(description="What the other project holds.")
    owner: str = Field(description="The other project; empty when it belongs to none.")
    origin: Origin | None = Field(description="Where it is claimed.")
    moved_to: Key | None = Field(description="The declared key that an entry of `moved` gives it; null without one.")


class PlanDocument(_Form):
    """What it takes to bring a target to what the files declare, as `plan -o` saves it and `apply` carries it out."""

    format: Literal["reconciler-plan/2"] = Field(description="Version of this form.")
    environment: str = Field(description="Name of the environment in the project file.")
    target: str = Field(description="Where the target is.")
    owner: str = Field(description="The project that owns what it declares.")
    digest: Digest = Field(
        description="Digest of the effect: files, lines, reasons, drift and advice have no part in it. "
        "Approving a plan means approving this."
    )
    base: Base = Field(description="What the plan was made from.")
    summary: Summary = Field(description="The number of changes by kind.")
    stages: list[list[Change]] = Field(description="The changes, stage by stage.")
    drift: list[Drift] = Field(description="What was changed behind the files; no change by itself.")
    left: list[Key] = Field(description="What the project owns and the files do not mention; it is left alone.")
    renames: list[Rename] = Field(description="What looks like a rename.")
    collisions: list[Collision] = Field(description="What was set aside; a plan with any is refused.")


PLAN: Final[TypeAdapter[PlanDocument]] = TypeAdapter(PlanDocument)
"""What validates a saved plan."""
