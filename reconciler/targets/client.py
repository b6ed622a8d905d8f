"""One client's conversation with an engine: requests out, JSON in, and every failure as a sentence for people.

1. An `EngineClient` reads, and has no verb for anything else; who writes holds a `WritingClient` on top of one.
2. Exceptions of httpx end here. What could not be reached or broke is `TargetUnavailable`, what was answered and
   refused is `TargetRejected`; both name the address and what to do.
3. A request that was sent and got no answer may have been carried out: `AnswerLost` says so, and nothing is repeated.
4. The address is dialled directly and redirects are not followed: no proxy of the environment and no other host sees
   the token. Certificates are verified against the system's store, which `SSL_CERT_FILE` replaces (OpenSSL), and
   against a file of further authorities.
5. The token appears in no message.
"""

import re
import socket
import ssl
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from reconciler.errors import TargetRejected, TargetUnavailable
from reconciler.model.definition import JsonValue

__all__ = ["Answer", "AnswerLost", "EngineClient", "WritingClient", "engine_tls"]

# 60 s: the longest a publication of 10,000 definitions may take on a busy machine, twenty times over.
_TIMEOUT = httpx.Timeout(connect=5, read=60, write=60, pool=5)
# A few bulk requests with people in between: a connection kept for the next one would be stale by then, at the worst
# moment, and would tie the client to the event loop that opened it.
_LIMITS = httpx.Limits(max_keepalive_connections=0)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")  # b64token of RFC 6750 section 2.1


class AnswerLost(TargetUnavailable):
    """The request was sent, and no answer came back: it may have been carried out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object that an engine answered, with its HTTP status."""

    status: int
    body: Mapping[str, Any]


class EngineClient:
    """Reads from one engine, under one token; close it when done."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        token_variable: str | None = None,
        authorities: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: `http://` or `https://`, a host, and nothing secret.
            token: the bearer token.
            token_variable: the environment variable that it came from, for the messages.
            authorities: certificates to trust beside the system's, in PEM.
            transport: in place of sockets, in tests.

        Raises:
            TargetUnavailable: the URL can not be an engine's, or the authorities can not be read.
            TargetRejected: the token can not be one.
        """
        address = _address(url)
        self.location = str(address).rstrip("/")
        self._of_variable = f" of {token_variable}" if token_variable else ""
        if not _TOKEN.match(token):
            raise TargetRejected(
                f"The token{self._of_variable} for the engine at {self.location} is "
                f"{'not a token: blanks or line breaks do not belong to it' if token else 'empty'}.",
                status=httpx.codes.UNAUTHORIZED,
            )
        self._client = httpx.AsyncClient(
            base_url=address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT,
            limits=_LIMITS,
            trust_env=False,
            verify=engine_tls(self.location, authorities),
            transport=transport,
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def get(self, path: str, *, expect: Collection[int] = (200,), **query: str | int) -> Answer:
        """Read; statuses other than those in `expect` raise.

        Raises:
            TargetUnavailable: no answer, or one of a broken engine.
            TargetRejected: any other answer.
        """
        return await self._ask("GET", path, expect=expect, params=query)

    async def definitions(self, revision: int, keys: Iterable[str]) -> Answer:
        """Read contents of a revision: a question too long for a URL.

        Raises:
            TargetUnavailable: no answer, or one of a broken engine.
            TargetRejected: any other answer.
        """
        path = f"/v1/revisions/{revision}/definitions"
        return await self._post(path, {"keys": [*keys]}, expect=(200,), headers={})

    async def _post(self, path: str, body: JsonValue, *, expect: Collection[int], headers: Mapping[str, str]) -> Answer:
        head = {"Content-Type": "application/json", **headers}
        return await self._ask("POST", path, expect=expect, content=orjson.dumps(body), headers=head)

    async def _ask(self, method: str, path: str, *, expect: Collection[int], **request: Any) -> Answer:
        try:
            response = await self._client.request(method, path, **request)
        except httpx.RequestError as error:
            raise self._unreachable(error) from error
        body = _json_object(response.content)
        if body is not None and response.status_code in expect:
            return Answer(response.status_code, body)
        raise self._refused(response, body)

    def not_an_engine(self, because: str, *, status: int = httpx.codes.OK) -> TargetRejected:
        """The error for an answer that no engine of this version gives."""
        return TargetRejected(
            f"What answers at {self.location} is not a reconciler engine that this version understands: {because}.\n"
            "Check the address in reconciler.yaml, and that engine and command line are of one version.",
            status=status,
        )

    def _unreachable(self, error: httpx.RequestError) -> TargetUnavailable:
        where, causes = self.location, _causes(error)
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        if isinstance(error, httpx.ConnectError) and tls is not None:
            return TargetUnavailable(f"{where} can not be trusted: {_tls_reason(tls)}")
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return TargetUnavailable(
                f"The host of {where} is not known to this machine's name resolution.\n"
                "Check the address in reconciler.yaml."
            )
        if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
            return TargetUnavailable(
                f"{where} did not take a connection within {_TIMEOUT.connect:.0f} s: "
                "wrong address, a firewall, or an engine that is overwhelmed."
            )
        if isinstance(error, httpx.ConnectError):
            return TargetUnavailable(
                f"No engine answers at {where}: {_system_reason(causes)}.\n"
                "Correct the address in reconciler.yaml, or start an engine there:\n\n    reconciler engine serve"
            )
        if isinstance(error, httpx.TimeoutException):
            return AnswerLost(f"{where} took the request, but did not answer within {_TIMEOUT.read:.0f} s.")
        return AnswerLost(f"{where} broke off before it had answered: {str(error) or type(error).__name__}.")

    def _refused(self, response: httpx.Response, body: Mapping[str, Any] | None) -> TargetUnavailable | TargetRejected:
        status, where = response.status_code, self.location
        code, message = (body or {}).get("code"), (body or {}).get("message")
        if not isinstance(code, str) or not isinstance(message, str):
            kind = response.headers.get("content-type", "no content type").partition(";")[0]
            what = f"{response.request.method} {response.request.url.path} gave status {status} and {kind}"
            if status >= httpx.codes.INTERNAL_SERVER_ERROR:
                return AnswerLost(f"{where} failed, or what stands before it: {what}.")
            return self.not_an_engine(what, status=status)
        if status == httpx.codes.UNAUTHORIZED:
            return TargetRejected(
                f"The engine at {where} does not know the token{self._of_variable}.\n"
                "Use one that its token file holds now: it reads the file again when it changes.",
                status=status,
            )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return TargetRejected(
                f"The engine at {where} does not know the token{self._of_variable}. {message}", status=status
            )
        if status == httpx.codes.FORBIDDEN:
            return TargetRejected(f"The token{self._of_variable} does not open {where}: {message}", status=status)
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            return TargetUnavailable(f"The engine at {where} could not do it: {message}")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return AnswerLost(f"The engine at {where} broke: {message}")
        return TargetRejected(
            f"The engine at {where} refused: {message}", status=status, problems=_sentences(body or {})
        )


class WritingClient:
    """Makes the engine that a client reads from do something."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    async def post(
        self, path: str, body: JsonValue, *, expect: Collection[int] = (200,), headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a JSON value; statuses other than those in `expect` raise.

        Raises:
            AnswerLost: it may have been carried out.
            TargetUnavailable: no connection, or a broken engine; nothing was carried out.
            TargetRejected: any other answer.
        """
        # The client's own way of asking, which nobody else uses: a client alone can not be made to write.
        return await self._client._post(path, body, expect=expect, headers=headers or {})

    async def publish(self, proposal: JsonValue, *, base: int) -> Answer:
        """Ask for the revision after `base`; the answer has status 201, 409 or 412. Raises as `post`."""
        return await self.post("/v1/revisions", proposal, expect=(201, 409, 412), headers={"If-Match": f'"{base}"'})


def engine_tls(url: str, authorities: Path | None) -> ssl.SSLContext:
    """What to trust on the way to an engine.

    Raises:
        TargetUnavailable: the file of authorities can not be read.
    """
    if not url.startswith("https://"):
        # Loading the system's certificates takes 20 ms; without TLS a context that trusts nobody does.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    if authorities is not None:
        try:
            context.load_verify_locations(authorities)
        except OSError as error:  # ssl.SSLError is one
            reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
            raise TargetUnavailable(f"The authorities in {authorities} can not be read: {reason}.") from error
    return context


def _address(url: str) -> httpx.URL:
    """The URL without credentials, query and fragment."""
    try:
        address = httpx.URL(url.strip()).copy_with(username=None, password=None, query=None, fragment=None)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise TargetUnavailable(f"“{url}” is not the address of an engine; one looks like http://127.0.0.1:8460.")
    return address


def _json_object(content: bytes) -> Mapping[str, Any] | None:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _causes(error: BaseException) -> tuple[BaseException, ...]:
    """The exception and what led to it; httpx wraps httpcore, which wraps the system's."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return tuple(chain)


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate was refused, {error.verify_message}.\n"
            "If it is signed by an authority of your own, name the file of that authority's certificate:\n\n"
            "    --ca-file FILE\n\n"
            "RECONCILER_CA_FILE in the environment says the same. It is trusted beside the system's authorities, which "
            "SSL_CERT_FILE replaces."
        )
    reason = getattr(error, "reason", None)  # absent when Python code raised it
    if reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS. If the engine listens without it, its address begins with http://."
    return f"TLS failed ({reason or error})."


def _system_reason(causes: tuple[BaseException, ...]) -> str:
    """What the operating system said, without the numbers."""
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "the connection was refused"
    return next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), str(causes[0]))


def _sentences(body: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each problem of an error: what, where in it, and why."""
    problems = body.get("problems")
    return tuple(_sentence(problem) for problem in problems if isinstance(problem, dict)) if problems else ()


def _sentence(problem: Mapping[str, Any]) -> str:
    key, path, message = problem.get("key", ""), problem.get("path") or (), problem.get("message", "")
    place = " ".join(part for part in (str(key), ".".join(str(step) for step in path)) if part)
    return f"{place}: {message}" if place else str(message)
