"""Asking an engine from the command line: which one, with which token, and following what it does.

1. The engine is the target of `-e ENV`, whose token the project file names; or `--engine URL` (`RECONCILER_ENGINE`)
   with the token in `RECONCILER_TOKEN`. There is no default address: a command that shows what was delivered must not
   ask another engine than the reader thinks.
2. What goes wrong is a `TargetError` of `targets.client`, which has the words for it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reconciler.errors import TargetUnavailable
from reconciler.targets.client import Answer, EngineClient, WritingClient, engine_tls

__all__ = ["EngineAccess", "follow", "get", "post"]

Json = Mapping[str, Any]

_CONNECT_SECONDS = 5.0
# The stream sends a blank line every 15 s; three of them missing mean that the engine is gone.
_SILENCE_SECONDS = 50.0


@dataclass(frozen=True, slots=True)
class EngineAccess:
    """Where an engine is, and the token that opens it.

    Attributes:
        token_variable: where the token came from.
        authorities: a file of certificates to trust beside the system's.
    """

    url: str
    token: str
    token_variable: str | None
    authorities: Path | None = None


def get(access: EngineAccess, *path: str, **query: str | int | None) -> Json:
    """Read a door. `path` are the steps behind `/v1`; parameters that are None are left out.

    Raises:
        TargetError: it could not be read.
    """
    given: dict[str, Any] = {name: value for name, value in query.items() if value is not None}
    return _ask(access, lambda client: client.get(_door(*path), **given))


def post(access: EngineAccess, *path: str, body: Json) -> Json:
    """Ask a door to do something.

    Raises:
        TargetError: it was not done, or that is not known (`targets.client.AnswerLost`).
    """
    return _ask(access, lambda client: WritingClient(client).post(_door(*path), body))


def follow(access: EngineAccess, *, opened: Callable[[str], None]) -> Iterator[Json]:
    """Each attempt from now on, as it ends, and `{"lost": n}` where some are missing; until the engine stops.

    `opened` is called with the engine's address once it listens to us: nothing that ends after it is missed.

    Raises:
        TargetError: the engine can not be asked, or the connection to it broke.
    """
    import httpx

    # A first question finds out, with the client's words, whether the engine is there and the token opens it.
    get(access, "deliveries", limit=1)
    url = access.url.rstrip("/")
    timeout = httpx.Timeout(_CONNECT_SECONDS, read=_SILENCE_SECONDS)
    headers = {"Authorization": f"Bearer {access.token}"}
    try:
        with (
            httpx.Client(
                headers=headers, timeout=timeout, trust_env=False, verify=engine_tls(url, access.authorities)
            ) as client,
            client.stream("GET", f"{url}{_door('deliveries', 'stream')}") as response,
        ):
            for number, line in enumerate(response.iter_lines()):
                if number == 0:
                    opened(url)
                if line.strip():
                    yield json.loads(line)
    except httpx.TransportError as error:
        raise TargetUnavailable(f"The connection to {url} broke: {str(error) or type(error).__name__}.") from error


def _ask(access: EngineAccess, question: Callable[[EngineClient], Awaitable[Answer]]) -> Json:
    async def asked() -> Json:
        client = EngineClient(
            access.url, access.token, token_variable=access.token_variable, authorities=access.authorities
        )
        try:
            return (await question(client)).body
        finally:
            await client.close()

    return asyncio.run(asked())


def _door(*path: str) -> str:
    """The steps as a path; what a user typed as an id stays one step."""
    return "/".join(("/v1", *(quote(step, safe="") for step in path)))
