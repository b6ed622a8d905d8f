"""What people write: the documents of a project, field by field.

Each class is one mapping of the YAML files; its descriptions are the reference in `schemas/` and the hover text of
editors. Validation here is strict and total: unknown keys, wrong types and words outside of a vocabulary are refused,
nothing is converted. What values mean together is checked later, by `config.load` and `model.definition`.

1. Durations and shares are written with their units: `2h`, `30m`, `45s`, `30%`.
2. A secret is never written, only where it is found: `{env: NAME}`.
3. A callback is described by the class of its channel, so that an editor offers only what can be there.
4. An override may give any field again; null takes away what the definition says.
5. Of a policy only the shape is told here; what its fields may be compared with is `config.condition`'s.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    RootModel,
    StringConstraints,
    Tag,
    TypeAdapter,
)
from pydantic.alias_generators import to_camel

from reconciler.config.field import FIELD_PATTERN, FIELDS
from reconciler.model.definition import NAME_PATTERN

__all__ = [
    "API_VERSION",
    "COMPARISONS",
    "DOCUMENTS",
    "DURATION_PATTERN",
    "BatchUrlCallback",
    "CallbackOverride",
    "Comparison",
    "Condition",
    "DeviceTypeDocument",
    "DeviceTypeOverride",
    "EmailCallback",
    "EngineTarget",
    "Environment",
    "EnvironmentReference",
    "Limits",
    "OperatorTarget",
    "Policy",
    "Project",
    "UrlCallback",
    "duration",
]

API_VERSION: Final = "reconciler/v1"

DURATION_PATTERN: Final = "^[0-9]{1,9}[smhd]$"
_SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

Name: TypeAlias = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$"), Field(title="name")]
VariableName: TypeAlias = Annotated[str, StringConstraints(pattern="^[A-Za-z_][A-Za-z0-9_-]*$")]
Wildcards: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=200), Field(title="name, with * for any characters")
]
EnvironmentVariableName: TypeAlias = Annotated[
    str,
    StringConstraints(pattern="^[A-Za-z_][A-Za-z0-9_]*$"),
    Field(title="name of an environment variable", examples=["RECONCILER_TOKEN"]),
]
Duration: TypeAlias = Annotated[
    Annotated[int, Field(ge=0, le=0)] | Annotated[str, StringConstraints(pattern=DURATION_PATTERN)],
    Field(title="duration", examples=["2h", "30m", "1800s"]),
]
Limit: TypeAlias = Annotated[
    Annotated[int, Field(ge=0, le=999_999_999)]
    | Annotated[str, StringConstraints(pattern="^(?:100|[0-9]{1,2}(?:\\.[0-9]{1,3})?)%$")],
    Field(title="limit", examples=["30%", 5]),
]
MethodName: TypeAlias = Literal["GET", "POST", "PUT"]
DownlinkModeName: TypeAlias = Literal["direct", "callback", "none", "managed"]
CallbackTypeName: TypeAlias = Literal[
    "data/uplink",
    "data/bidir",
    "service/status",
    "service/geoloc",
    "service/acknowledge",
    "service/repeater",
    "service/data-advanced",
    "error",
]
Recipients: TypeAlias = Annotated[list[str], Field(min_length=1)]
SigningKeys: TypeAlias = Annotated[list[str], Field(min_length=1)]
BaseUrl: TypeAlias = Annotated[
    str,
    StringConstraints(pattern="^https?://[^\\s/?#]+[^\\s?#]*$"),
    Field(title="base URL", examples=["http://127.0.0.1:8460"]),
]
Pattern: TypeAlias = Annotated[str, StringConstraints(min_length=1), Field(title="pattern of file names")]


_LEFT_OUT: Final[Any] = None
"""Of a key that may be left out, and whose value is never null."""


def duration(text: str | int) -> timedelta:
    """The length of time that `Duration` accepts as a text, or 0."""
    return timedelta() if isinstance(text, int) else timedelta(seconds=int(text[:-1]) * _SECONDS[text[-1]])


class _Mapping(BaseModel):
    """One mapping of a document."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_camel)


# Device types


class Downlink(_Mapping):
    """Who answers a device that asks for a downlink."""

    mode: DownlinkModeName = Field(
        description="direct sends `data` to every device that asks, callback asks the data/bidir callback with "
        "`downlinkHook`, none never answers, managed leaves it to the network.",
    )
    data: str = Field(
        default="",
        description="Mode direct only: 8 bytes in hex; {time} and {tapId} stand for 4 bytes each, {rssi} for 2.",
        examples=["{time}0000{rssi}"],
    )


class Expectation(_Mapping):
    """What a callback has to send; what is left out may be anything. Secrets are written ${secret.NAME}."""

    fires: bool = Field(
        default=_LEFT_OUT,
        description="false: the message must not fire the callback. Nothing else can be expected then.",
    )
    method: MethodName = Field(default=_LEFT_OUT, description="HTTP method.")
    url: str = Field(
        default=_LEFT_OUT,
        description="The whole URL, without login and password; of a batch URL that of a batch with this line alone.",
    )
    headers: dict[str, str | None] = Field(
        default={}, description="Headers that must be there, among others; null for one that must not."
    )
    content_type: str = Field(default=_LEFT_OUT, description="The content type of the body.")
    body: str = Field(default=_LEFT_OUT, description="The body as text.")
    json_body: JsonValue = Field(
        default=None, alias="json", description="The body as JSON: all of it, numbers compared as numbers."
    )
    line: str = Field(default=_LEFT_OUT, description="Channel batch-url: the line of this message.")
    recipient: str = Field(default=_LEFT_OUT, description="Channel email: one of those who get it.")
    recipients: list[str] = Field(default=_LEFT_OUT, description="Channel email: all who get it, in any order.")
    subject: str = Field(default=_LEFT_OUT, description="Channel email: the subject.")
    message: str = Field(default=_LEFT_OUT, description="Channel email: the text.")
    custom: dict[str, bool | int | float | str | None] = Field(
        default={},
        description="Fields of the payload by their names, among others; null for one that does not fit the payload.",
        examples=[{"temperature": 21.5}],
    )


class CallbackTest(_Mapping):
    """A message, and what it has to lead to."""

    name: str = Field(default="", description="For people; without it tests are numbered.")
    environments: Annotated[list[Wildcards], Field(min_length=1)] = Field(
        default=_LEFT_OUT,
        description="The environments where it runs; all of them when it is left out.",
        examples=[["dev", "prod-*"]],
    )
    given: dict[str, JsonValue] = Field(
        description="A message, with the fields of POST /v1/messages; deviceType and type may be left out, then they "
        "are the callback's. With duplicate: true it is a further reception.",
        examples=[{"device": "1C178", "time": 1700000000, "seqNumber": 7, "data": "e80332"}],
    )
    expect: Expectation = Field(description="What it leads to.")


class _Callback(_Mapping):
    type: CallbackTypeName = Field(description="Which events fire the callback.")
    channel: Literal["url", "batch-url", "email"]
    payload: str = Field(
        default="",
        description="Payload config: the fields of the payload, offered to templates as {customData#name}. "
        "Inherited from the device type when it is left out; empty for none.",
        examples=["temperature::int:16 humidity::uint:8"],
    )
    enabled: bool = Field(default=True, description="Whether it fires at all.")
    protect: bool = Field(default=False, description="Refuses plans that would delete the callback.")
    send_duplicates: bool = Field(
        default=False,
        description="Fires once for every station that received the message, not once for the message: {duplicate} "
        "tells the repetitions. For data/uplink, data/bidir, service/status and service/geoloc.",
    )
    tests: list[CallbackTest] = Field(default=[], description="Messages and what they have to lead to.")


class _HttpCallback(_Callback):
    method: MethodName = Field(default="POST", description="HTTP method; a GET has no body.")
    url: str = Field(
        description="Where to send: http or https, a fixed host, {variables} in path and query.",
        examples=["https://example.com/uplink/{device}?t={time}"],
    )
    send_sni: bool = Field(
        default=False, description="Names the host during the TLS handshake (Server Name Indication)."
    )
    downlink_hook: bool = Field(
        default=False,
        description="The answer of this data/bidir callback is the device's downlink; one per device type.",
    )


class UrlCallback(_HttpCallback):
    """One HTTP request for each message."""

    channel: Literal["url"] = Field(description="One HTTP request for each message.")
    headers: dict[str, str] = Field(
        default={},
        description="Headers of the request, {variables} in their values. Standard request headers are refused, "
        "except Authorization.",
        examples=[{"Authorization": "Bearer ${secret.INGEST_TOKEN}"}],
    )
    signature: str | SigningKeys = Field(
        default="",
        description="Secrets to sign the request with, as in Standard Webhooks: headers webhook-id, webhook-timestamp "
        "and webhook-signature. Several while a key is replaced, each makes a signature. Not with method GET.",
        examples=["${secret.WEBHOOK_KEY}", ["${secret.NEW_KEY}", "${secret.OLD_KEY}"]],
    )
    content_type: str = Field(
        default="application/x-www-form-urlencoded",
        description="application/json, application/x-www-form-urlencoded or text/plain, with parameters.",
    )
    body: str = Field(
        default="",
        description="Template of the body; values are escaped as the content type needs it.",
        examples=['{"device": "{device}", "time": {time}}'],
    )
    ordered: bool = Field(
        default=False,
        description="Sends what one device's messages make one after the other, in the order in which the messages "
        "were accepted: the next is not attempted before the one before it is delivered or given up. One that fails "
        "holds up those behind it for at most 7 minutes 40 seconds (four attempts of 10 seconds, 1, 2 and 4 minutes "
        "between them; the time for which its endpoint is parked does not count); then they go on, and it is left "
        "behind. A replay is outside the order. Not for data/bidir.",
    )


class BatchUrlCallback(_HttpCallback):
    """One HTTP request a second, with a line for each message."""

    channel: Literal["batch-url"] = Field(description="One HTTP request a second, with a line for each message.")
    url: str = Field(
        description="Where to send: http or https, a fixed host, and {batch}, which stands for the lines, as the value "
        "of a query pair; no other variables.",
        examples=["https://example.com/in?lines={batch}"],
    )
    line_pattern: str = Field(
        description="Template of the line for one message. Line feeds separate the lines; the pattern and the values "
        "hold none.",
        examples=["{device};{time};{data}"],
    )


class EmailCallback(_Callback):
    """One e-mail for each message and recipient."""

    channel: Literal["email"] = Field(description="One e-mail for each message and recipient; meant for tests.")
    recipient: str | Recipients = Field(
        description="Address to send to, or several: a list, or a text with commas between. It holds no {variables}.",
        examples=["ops@example.com", ["ops@example.com", "lab@example.com"]],
    )
    subject: str = Field(default="", description="Template of the subject.", examples=["{device}: {severity}"])
    message: str = Field(default="", description="Template of the text.", examples=["{info}"])


Callback: TypeAlias = Annotated[UrlCallback | BatchUrlCallback | EmailCallback, Field(discriminator="channel")]


class Moved(_Mapping):
    """That something has a new name, so that it is renamed and not deleted and created."""

    from_: Name = Field(alias="from", description="The old name.")
    to: Name = Field(description="The new name.")


class DeviceTypeDocument(_Mapping):
    """A device type and its callbacks."""

    api_version: Literal["reconciler/v1"] = Field(description="Version of this file format.")
    kind: Literal["DeviceType"] = Field(description="What this document declares.")
    name: Name = Field(description="Name of the device type; unique in the project.")
    description: str = Field(default="", description="For people.")
    keep_alive: Duration = Field(
        default=0,
        description="How long a device may be silent before error callbacks fire: at least 30m, 0 for ever.",
    )
    downlink: Downlink = Field(
        default=Downlink(mode="none"), description="Who answers a device that asks for a downlink."
    )
    payload: str = Field(
        default="",
        description="Payload config for all callbacks that have none of their own.",
        examples=["temperature::int:16:little-endian humidity::uint:8 door::bool:7"],
    )
    callbacks: dict[Name, Callback] = Field(default={}, description="The callbacks by their names.")
    moved: list[Moved] = Field(
        default=[],
        description="Callbacks that have a new name: they are renamed where they still have the old one, instead of "
        "being deleted and created. Entries may stay.",
        examples=[[{"from": "telemetry", "to": "uplink"}]],
    )


# The project


class EnvironmentReference(_Mapping):
    """A value that is found in the environment of the process, and never in a file."""

    env: EnvironmentVariableName = Field(description="Name of the environment variable.")


class EngineTarget(_Mapping):
    """A running engine."""

    engine: BaseUrl = Field(description="Base URL of the engine.")
    token: EnvironmentReference | None = Field(
        default=None, title="reference", description="Where the token is found.", examples=[{"env": "RECONCILER_TOKEN"}]
    )


class OperatorTarget(_Mapping):
    """The network operator's Backend API v2."""

    sigfox: BaseUrl = Field(description="Base URL of the API.", examples=["https://api.example.com/v2"])
    login: EnvironmentReference = Field(description="Where the login of the API user is found.")
    password: EnvironmentReference = Field(description="Where the password of the API user is found.")


def _kind_of_target(value: Any) -> str:
    return (
        "operator" if isinstance(value, OperatorTarget) or (isinstance(value, dict) and "sigfox" in value) else "engine"
    )


Target: TypeAlias = Annotated[
    Annotated[EngineTarget, Tag("engine")] | Annotated[OperatorTarget, Tag("operator")], Discriminator(_kind_of_target)
]


class Limits(_Mapping):
    """How much one plan may change: a number of definitions, or a share of those that the project owned before."""

    creates: Limit | None = Field(default=None, description="How many definitions may be created.")
    deletes: Limit | None = Field(
        default=None, description="How many definitions may be deleted, or replaced by another type or channel."
    )
    updates: Limit | None = Field(
        default=None,
        description="How many that are there may change: updated, enabled, disabled, replaced, moved or adopted.",
    )
    total: Limit | None = Field(
        default=None, description="How many definitions may be created, changed or deleted; each counts once."
    )


class CallbackOverride(_Mapping):
    """Fields of a callback as they are in one environment; null takes a field away."""

    type: CallbackTypeName | None = Field(default=None, description="Which events fire the callback.")
    channel: Literal["url", "batch-url", "email"] | None = Field(default=None, description="How it is sent.")
    method: MethodName | None = Field(default=None, description="HTTP method.")
    url: str | None = Field(default=None, description="Where to send.")
    headers: dict[str, str | None] | None = Field(default=None, description="Headers, merged by their names.")
    signature: str | SigningKeys | None = Field(default=None, description="Secrets to sign the request with.")
    content_type: str | None = Field(default=None, description="Content type of the body.")
    body: str | None = Field(default=None, description="Template of the body.")
    line_pattern: str | None = Field(default=None, description="Template of the line for one message.")
    recipient: str | Recipients | None = Field(default=None, description="Address to send to, or several.")
    subject: str | None = Field(default=None, description="Template of the subject.")
    message: str | None = Field(default=None, description="Template of the text.")
    payload: str | None = Field(default=None, description="Payload config.")
    send_sni: bool | None = Field(default=None, description="Names the host during the TLS handshake.")
    send_duplicates: bool | None = Field(default=None, description="Fires once for every station.")
    downlink_hook: bool | None = Field(default=None, description="Its answer is the device's downlink.")
    ordered: bool | None = Field(default=None, description="Sends what one device's messages make in their order.")
    enabled: bool | None = Field(default=None, description="Whether it fires at all.")
    protect: bool | None = Field(default=None, description="Refuses plans that would delete the callback.")


class DownlinkOverride(_Mapping):
    """Fields of the downlink settings as they are in one environment."""

    mode: DownlinkModeName | None = Field(default=None, description="Who answers.")
    data: str | None = Field(default=None, description="Mode direct only: 8 bytes in hex.")


class DeviceTypeOverride(_Mapping):
    """Fields of a device type as they are in one environment; null takes a field or callback away."""

    description: str | None = Field(default=None, description="For people.")
    keep_alive: Duration | None = Field(default=None, description="How long a device may be silent.")
    downlink: DownlinkOverride | None = Field(default=None, description="Who answers a device.")
    payload: str | None = Field(default=None, description="Payload config.")
    callbacks: dict[Name, CallbackOverride | None] = Field(default={}, description="Callbacks, merged by their names.")


VariableValue: TypeAlias = Annotated[
    str | int | float | bool | EnvironmentReference,
    Field(examples=["ingest.example.com", {"env": "INGEST_HOST"}]),
]


class Environment(_Mapping):
    """One place where the project runs."""

    target: Target = Field(description="What plans are made against and applied to: an engine, or the operator's API.")
    variables: dict[VariableName, VariableValue] = Field(
        default={}, description="Values of ${var.name} in the definitions."
    )
    overrides: dict[Name, DeviceTypeOverride | None] = Field(
        default={}, description="Device types and callbacks that differ here, merged by key over the definitions."
    )
    promotes_from: Name | None = Field(
        default=None, description="The environment whose proven revision comes next here."
    )
    protected: bool = Field(default=False, description="Asks before anything is applied, and refuses to do it unasked.")
    limits: Limits | None = Field(default=None, description="How much one plan may change here.")


# Policies

PolicyFieldName: TypeAlias = Annotated[str, StringConstraints(pattern=FIELD_PATTERN)]
Bound: TypeAlias = Annotated[int | float | str, Field(title="number or duration", examples=[1024, "30m"])]


class Comparison(_Mapping):
    """What a value has to be, in other ways than by a text; everything that is given has to hold."""

    regex: str = Field(
        default=_LEFT_OUT,
        title="regular expression",
        description="Matches the value anywhere, unless ^ and $ bind it: at most 500 characters, without look-around "
        "and back references. A text of more than 8192 characters is refused unseen.",
        examples=["^https://[a-z0-9.-]+/"],
    )
    in_: list[str | int | float] = Field(
        default=_LEFT_OUT,
        alias="in",
        min_length=1,
        description="Texts with wildcards, or numbers, of which one has to fit.",
        examples=[["url", "batch-url"]],
    )
    present: bool = Field(
        default=_LEFT_OUT,
        description="Whether there has to be a value at all, or must not be; an empty text is none.",
    )
    min: Bound = Field(default=_LEFT_OUT, description="The least that a number or duration may be.")
    max: Bound = Field(default=_LEFT_OUT, description="The most that a number or duration may be.")


COMPARISONS: Final = tuple(field.alias or name for name, field in Comparison.model_fields.items())
"""The keys of a comparison."""


class Condition(RootModel[str | int | float | bool | Comparison]):
    """What a value has to be: a text, a number, true or false, or a comparison.

    In a text, * stands for any characters and ? for one; dots and slashes are characters like others, so *.example.com
    fits a.example.com and a.b.example.com, and not example.com. Letters count with their case, except in host.
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        title="condition",
        json_schema_extra={"examples": ["*.example.com", {"regex": "^https://"}]},
    )


def _with_names(schema: dict[str, Any]) -> None:
    """The names of all fields, for editors; that there are no others is said by the pattern of the names."""
    (value,) = schema["patternProperties"].values()
    schema["propertyNames"] = {"title": "field of a policy"}
    schema["properties"] = {
        name: {**value, "description": field.description, "examples": list(field.examples)}
        for name, field in FIELDS.items()
    }


class PolicyFields(RootModel[dict[PolicyFieldName, Condition]]):
    """Fields of a definition, and what each has to be. headers.NAME is a single header."""

    model_config = ConfigDict(strict=True, frozen=True, json_schema_extra=_with_names)


class Policy(_Mapping):
    """A rule that definitions have to obey, as an environment will hold them."""

    name: Name = Field(description="Name of the policy; unique in the project.", examples=["prod-uses-https"])
    message: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="What the rule is, and why, for whoever breaks it.", examples=["Production callbacks use https."]
    )
    severity: Literal["error", "warning"] = Field(
        default="error", description="An error refuses the plan, a warning is only told."
    )
    environments: Annotated[list[Wildcards], Field(min_length=1)] = Field(
        default=_LEFT_OUT,
        description="The environments where it holds; all of them when it is left out.",
        examples=[["prod", "prod-*"]],
    )
    match: PolicyFields = Field(
        default=_LEFT_OUT,
        description="Which definitions it is about: those of which all of this is so. Without kind: device-type it is "
        "about callbacks.",
        examples=[{"type": "data/*", "key": "tracker/*"}],
    )
    require: PolicyFields = Field(
        default=_LEFT_OUT,
        description="What each of these fields has to be. A callback whose channel has no such field may lack it.",
        examples=[{"scheme": "https"}],
    )
    forbid: PolicyFields = Field(
        default=_LEFT_OUT,
        description="What must not be so at the same time; with several fields, all of them together.",
        examples=[{"channel": "email"}],
    )


class Project(_Mapping):
    """The project file, reconciler.yaml."""

    api_version: Literal["reconciler/v1"] = Field(description="Version of this file format.")
    kind: Literal["Project"] = Field(description="What this document declares.")
    name: Name = Field(description="Name of the project: the owner of what it creates.")
    sources: list[Pattern] = Field(
        min_length=1,
        description="Files that hold the definitions, as patterns relative to this file.",
        examples=[["device-types/**/*.yaml"]],
    )
    limits: Limits | None = Field(default=None, description="How much one plan may change, in every environment.")
    policies: list[Policy] = Field(
        default=[],
        description="Rules that all definitions have to obey, as each environment will hold them.",
    )
    environments: dict[Name, Environment] = Field(default={}, description="The environments by their names.")
    moved: list[Moved] = Field(
        default=[],
        description="Device types that have a new name: they are renamed with their callbacks where they still have "
        "the old one, instead of being deleted and created. Entries may stay.",
        examples=[[{"from": "tracker", "to": "cold-chain-tracker"}]],
    )
    removed: list[Name] = Field(
        default=[],
        description="Device types to delete with their callbacks, wherever the project still has them. Otherwise one "
        "that no file mentions is left alone.",
        examples=[["legacy-tracker"]],
    )


DOCUMENTS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "Project": TypeAdapter(Project),
    "DeviceType": TypeAdapter(DeviceTypeDocument),
}
"""What validates each kind of document."""
