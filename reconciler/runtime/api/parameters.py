"""What a request asks for in its query: `limit`, `before`, `wait`, filters.

1. Unknown and repeated parameters are refused by name: a misspelt filter must not silently list everything.
2. A refusal says what the parameter takes; it does not repeat what was given.
"""

import re
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.requests import Request

from reconciler.model.delivery import DeliveryId, State
from reconciler.model.resource import Key
from reconciler.runtime.api.answers import DoorError

__all__ = ["Parameters", "callback_of", "delivery_id_of", "device_of", "endpoint_of", "state_of"]

_DEVICE = re.compile(r"[0-9A-Fa-f]{1,16}")
_SECONDS = re.compile(r"([0-9]{1,9})s?", re.ASCII)
# What `model.delivery.Mail.endpoint` says.
_MAIL_ENDPOINT = "smtp"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Parameters:
    """The query of one request, in which nothing but `names` may occur."""

    def __init__(self, request: Request, *names: str) -> None:
        self._given: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in names:
                known = f"it takes {', '.join(names)}" if names else "it takes none"
                raise DoorError(
                    400, "unknown-parameter", f"The query has a parameter that this door does not know; {known}."
                )
            if name in self._given:
                raise DoorError(400, "invalid-parameter", f"“{name}” occurs twice.")
            self._given[name] = value

    def text(self, name: str) -> str | None:
        """A parameter as it stands; None when it is left out or empty."""
        return self._given.get(name) or None

    def number(self, name: str) -> int | None:
        """A whole number from 0; None when it is left out."""
        text = self.text(name)
        if text is None:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise DoorError(400, "invalid-parameter", f"“{name}” takes a whole number.")
        return int(text)

    def limit(self, *, default: int, most: int) -> int:
        """How many rows to answer with."""
        limit = self.number("limit")
        if limit is None:
            return default
        if not 1 <= limit <= most:
            raise DoorError(400, "invalid-parameter", f"“limit” takes a number from 1 to {most}.")
        return limit

    def wait(self, *, most: timedelta) -> timedelta:
        """How long to wait for something to answer with; not at all when it is left out."""
        text = self.text("wait")
        if text is None:
            return timedelta()
        seconds = _SECONDS.fullmatch(text)
        wait = None if seconds is None else timedelta(seconds=int(seconds[1]))
        if wait is None or wait > most:
            longest = f"{most.total_seconds():.0f}s"
            raise DoorError(400, "invalid-parameter", f"“wait” takes whole seconds, such as 30s, up to {longest}.")
        return wait


def state_of(text: str | None) -> State | None:
    """The state to filter by."""
    if text is None:
        return None
    try:
        return State(text)
    except ValueError:
        raise DoorError(400, "invalid-parameter", f"“state” takes one of {', '.join(State)}.") from None


def callback_of(text: str | None) -> Key | None:
    """The callback to filter by."""
    if text is None:
        return None
    key = Key.parse(text)
    if not key.device_type or not key.callback:
        raise DoorError(400, "invalid-parameter", "“callback” takes DEVICE-TYPE/CALLBACK, such as tracker/telemetry.")
    return key


def device_of(text: str | None) -> str | None:
    """The device to filter by, spelt as the engine keeps it: upper case, without padding."""
    if text is None:
        return None
    if not _DEVICE.fullmatch(text):
        raise DoorError(400, "invalid-parameter", "“device” takes 1 to 16 hex digits, such as 1C178.")
    return text.upper().lstrip("0") or "0"


def endpoint_of(text: str | None) -> str | None:
    """The endpoint to filter by, spelt as the engine keeps it: the port is always there. Mail has the endpoint smtp."""
    if text is None:
        return None
    if text == _MAIL_ENDPOINT:
        return text
    try:
        url = urlsplit(text)
        port = url.port or _DEFAULT_PORTS.get(url.scheme)
    except ValueError:
        port = None
    if port is None or not url.hostname or url.path.strip("/") or url.query or url.fragment or "@" in url.netloc:
        examples = f"such as https://ingest.example.com or http://127.0.0.1:9000, or {_MAIL_ENDPOINT}"
        raise DoorError(400, "invalid-parameter", f"“endpoint” takes scheme, host and port, {examples}.")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}:{port}"


def delivery_id_of(text: str | None) -> DeliveryId | None:
    """The delivery to continue behind."""
    if text is None:
        return None
    try:
        return DeliveryId.parse(text)
    except ValueError:
        raise DoorError(400, "invalid-parameter", "“before” takes the id of a delivery.") from None
