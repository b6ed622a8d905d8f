"""The engine as a target when things go wrong: every failure is one sentence that says what to do.

What goes well is in `tests/conformance/test_target*.py`.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson
import pytest
import trustme
import uvicorn

from reconciler.apply import Report, apply
from reconciler.codec.canonical import define
from reconciler.errors import PlanStale, TargetError, TargetRejected, TargetUnavailable
from reconciler.model.definition import Content
from reconciler.model.plan import Adopt, Change, Create, Move, Plan, Receipt, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.revision import Publication
from reconciler.model.snapshot import Blame, Desired, Fingerprint
from reconciler.plan.planner import make_plan
from reconciler.targets.engine import EngineObserver, EngineTarget
from tests.conformance.fake_engine import TOKEN, FakeEngine

URL = "http://engine.test"
BY_ANA = Publication(None, "ana", "abc123", "why")

Send = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Wire(httpx.AsyncBaseTransport):
    """The doors of a fake engine, with something to meddle with each request on its way."""

    def __init__(self, engine: FakeEngine, meddle: Callable[[httpx.Request, Send], Awaitable[httpx.Response]]) -> None:
        self._engine = httpx.ASGITransport(engine.app)
        self._meddle = meddle

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._meddle(request, self._engine.handle_async_request)


def is_publication(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path == "/v1/revisions"


def files(contents: dict[str, Content], *, owner: str = "cold-chain") -> Desired:
    return Desired(owner, {Key.parse(k): define(Key.parse(k), content) for k, content in contents.items()}, {})


def target_of(engine: FakeEngine) -> EngineTarget:
    return EngineTarget(URL, TOKEN, transport=httpx.ASGITransport(engine.app))


async def plan_for(engine: FakeEngine, contents: dict[str, Content], *, owner: str = "cold-chain") -> Plan:
    desired = files(contents, owner=owner)
    observed = await target_of(engine).observe(owner, {})
    return make_plan(desired, observed, environment="dev", target=URL)


async def publish(
    engine: FakeEngine, contents: dict[str, Content], *, owner: str = "cold-chain", by: str = "bob"
) -> None:
    made = await plan_for(engine, contents, owner=owner)
    report = await apply(made, target_of(engine), Publication(None, by), tell=lambda receipt: None)
    assert report.succeeded


async def carry_out(
    made: Plan, engine: FakeEngine, meddle: Callable[[httpx.Request, Send], Awaitable[httpx.Response]]
) -> Report:
    target = EngineTarget(URL, TOKEN, transport=Wire(engine, meddle))
    return await apply(made, target, BY_ANA, tell=lambda receipt: None)


async def failure(target: EngineTarget) -> TargetError:
    try:
        with pytest.raises(TargetError) as caught:
            await target.observe("cold-chain", {})
    finally:
        await target.close()
    return caught.value


def answering(response: httpx.Response) -> EngineTarget:
    return EngineTarget(
        URL, TOKEN, token_variable="RECONCILER_DEV_TOKEN", transport=httpx.MockTransport(lambda _: response)
    )


def failing(error: Exception) -> EngineTarget:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    return EngineTarget(URL, TOKEN, transport=httpx.MockTransport(fail))


# The address and the token


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8460", "localhost:8460", "ftp://a", "http://", "http://[::1", "/tmp/engine.sock"]
)
def test_what_is_not_an_http_url_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(
        TargetUnavailable, match=r"is not the address of an engine; one looks like http://127\.0\.0\.1:8460"
    ):
        EngineTarget(url, TOKEN)


@pytest.mark.parametrize(
    "url", ["http://ana:hunter2@engine.test/", "http://engine.test?token=hunter2", " http://engine.test "]
)
async def test_the_location_is_the_address_without_anything_secret(url: str) -> None:
    target = EngineTarget(url, TOKEN, transport=httpx.ASGITransport(FakeEngine().app))
    assert target.location == "http://engine.test"
    assert (await target.observe("cold-chain", {})).digests == {}


@pytest.mark.parametrize(("token", "reason"), [("", "is empty"), ("a\n", "is not a token"), ("a b", "is not a token")])
def test_a_token_that_can_not_be_one_is_refused_by_the_name_of_its_variable(token: str, reason: str) -> None:
    with pytest.raises(TargetRejected, match=f"The token of RECONCILER_DEV_TOKEN for the engine at {URL} {reason}"):
        EngineTarget(URL, token, token_variable="RECONCILER_DEV_TOKEN")


async def test_an_unknown_token_is_refused_by_the_name_of_its_variable() -> None:
    transport = httpx.ASGITransport(FakeEngine().app)
    error = await failure(EngineTarget(URL, "other", token_variable="RECONCILER_DEV_TOKEN", transport=transport))
    assert isinstance(error, TargetRejected)
    assert error.status == 401
    assert str(error).startswith(f"The engine at {URL} does not know the token of RECONCILER_DEV_TOKEN.\n")
    assert "other" not in str(error).partition("\n")[0]


async def test_a_token_without_the_scope_is_told_which_one_it_lacks() -> None:
    engine = FakeEngine(scopes={TOKEN: frozenset({"ingest"})})
    error = await failure(target_of(engine))
    assert isinstance(error, TargetRejected)
    assert error.status == 403
    assert str(error) == f"The token does not open {URL}: This door needs a token with the scope “read”."


# Nobody there, or somebody else


@asynccontextmanager
async def served(app: object) -> AsyncIterator[str]:
    """An ASGI application on a loopback port."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical"))  # type: ignore[arg-type]
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await server.startup(sockets=[listening])
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        await server.shutdown(sockets=[listening])


async def test_over_a_socket_a_plan_is_observed_made_and_applied() -> None:
    engine = FakeEngine()
    async with served(engine.app) as url:
        target = EngineTarget(url, TOKEN)
        desired = files({"tracker": {}, "tracker/a": {"url": "https://a.test"}})
        made = make_plan(desired, await target.observe("cold-chain", {}), environment="dev", target=url)
        report = await apply(made, target, BY_ANA, tell=lambda receipt: None)
        await target.close()
    assert report.revision == 1
    assert engine.current.publication.by == "ana"


def test_one_target_serves_several_event_loops() -> None:
    server = uvicorn.Server(uvicorn.Config(FakeEngine().app, lifespan="off", log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=server.run, args=([listening],))
        serving.start()
        try:
            target = EngineTarget(f"http://127.0.0.1:{listening.getsockname()[1]}", TOKEN)
            observed = [asyncio.run(target.observe("cold-chain", {})) for _ in range(2)]
            asyncio.run(target.close())
        finally:
            server.should_exit = True
            serving.join()
    assert observed[0] == observed[1]


async def test_a_refused_connection_names_the_address_and_the_command() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # bound, but not listening
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        error = await failure(EngineTarget(url, TOKEN))
    assert isinstance(error, TargetUnavailable)
    assert str(error) == (
        f"No engine answers at {url}: the connection was refused.\n"
        "Correct the address in reconciler.yaml, or start an engine there:\n\n    reconciler engine serve"
    )


@asynccontextmanager
async def shouting(bytes_: bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers everything with the same bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes_)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "bytes_", [b"", b"220 mail.example.com ESMTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"]
)
async def test_what_does_not_speak_http_broke_off(bytes_: bytes) -> None:
    async with shouting(bytes_) as port:
        error = await failure(EngineTarget(f"http://127.0.0.1:{port}", TOKEN))
    assert isinstance(error, TargetUnavailable)
    assert str(error).startswith(f"http://127.0.0.1:{port} broke off before it had answered: ")


async def test_an_engine_without_tls_asked_for_tls_says_so() -> None:
    async with served(FakeEngine().app) as url:
        error = await failure(EngineTarget(url.replace("http:", "https:"), TOKEN))
    assert isinstance(error, TargetUnavailable)
    assert "does not speak TLS. If the engine listens without it, its address begins with http://." in str(error)


NOTHING_TOLD = dict.fromkeys(("publishedBy", "commit", "note", "via", "plan"), "")
REVISION_0 = orjson.dumps(
    {"number": 0, "digest": "", "owner": "", "publishedAt": None, **NOTHING_TOLD, "definitions": {}}
)
EMPTY_ENGINE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(REVISION_0), REVISION_0)


async def test_a_certificate_is_trusted_when_its_authority_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with shouting(EMPTY_ENGINE, tls=tls) as port:
        url = f"https://127.0.0.1:{port}"
        error = await failure(EngineTarget(url, TOKEN))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        target = EngineTarget(url, TOKEN)
        held = await target.current()
        await target.close()
    assert isinstance(error, TargetUnavailable)
    assert str(error).startswith(f"{url} can not be trusted: its certificate was refused, ")
    assert "SSL_CERT_FILE" in str(error)
    assert held.number == 0


async def test_other_failures_of_tls_are_quoted() -> None:
    failed = httpx.ConnectError("")
    failed.__cause__ = ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version")
    error = await failure(failing(failed))
    assert str(error).startswith(f"{URL} can not be trusted: TLS failed (")
    assert "protocol version" in str(error)


async def test_an_unknown_host_is_told_from_a_refused_connection() -> None:
    unresolved = httpx.ConnectError("[Errno -2] Name or service not known")
    unresolved.__cause__ = socket.gaierror(-2, "Name or service not known")
    error = await failure(failing(unresolved))
    assert str(error).startswith(f"The host of {URL} is not known to this machine's name resolution.")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (httpx.ConnectTimeout(""), "did not take a connection within 5 s"),
        (httpx.ReadTimeout(""), "took the request, but did not answer within 60 s"),
        (httpx.ReadError(""), "broke off before it had answered: ReadError"),
        (httpx.ConnectError("All attempts failed"), "No engine answers at http://engine.test: All attempts failed."),
    ],
)  # fmt: skip
async def test_what_the_network_does_is_told_in_words(raised: Exception, told: str) -> None:
    error = await failure(failing(raised))
    assert isinstance(error, TargetUnavailable)
    assert told in str(error)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, html="<h1>It works!</h1>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"hello": "world"}),
        httpx.Response(200, json={"number": "seven", "digest": "", "definitions": {}}),
        httpx.Response(200, json={"number": 7, "digest": "", "definitions": {"tracker": "00ff"}}),
        httpx.Response(301, headers={"Location": "https://elsewhere.test/"}),
        httpx.Response(404, html="<h1>Not found</h1>"),
        httpx.Response(404, json={"detail": "Not Found"}),
    ],
)
async def test_something_else_at_the_address_is_recognised(response: httpx.Response) -> None:
    error = await failure(answering(response))
    assert isinstance(error, TargetRejected)
    assert str(error).startswith(f"What answers at {URL} is not a reconciler engine that this version understands: ")


async def test_an_engine_that_is_stopping_is_quoted() -> None:
    body = {"code": "engine-stopping", "message": "The engine is not running."}
    error = await failure(answering(httpx.Response(503, json=body)))
    assert isinstance(error, TargetUnavailable)
    assert str(error) == f"The engine at {URL} could not do it: The engine is not running."


async def test_an_engine_that_broke_is_quoted() -> None:
    error = await failure(answering(httpx.Response(500, json={"code": "internal-error", "message": "A bug."})))
    assert isinstance(error, TargetUnavailable)
    assert str(error) == f"The engine at {URL} broke: A bug."


async def test_a_gateway_before_the_engine_that_fails_is_told_as_such() -> None:
    error = await failure(answering(httpx.Response(502, html="<h1>Bad gateway</h1>")))
    assert isinstance(error, TargetUnavailable)
    assert "GET /v1/revisions/current gave status 502 and text/html" in str(error)


async def test_contents_that_contradict_their_digest_are_not_planned_with() -> None:
    engine = FakeEngine()
    await publish(engine, {"tracker": {"description": "as published"}})

    async def forge(request: httpx.Request, send: Send) -> httpx.Response:
        response = await send(request)
        text = (await response.aread()).replace(b"as published", b"as forged")
        return httpx.Response(200, content=text)

    error = await failure(EngineTarget(URL, TOKEN, transport=Wire(engine, forge)))
    assert "the content of tracker does not have the digest that it says" in str(error)


# Observing

CURRENT, APPLIED, HISTORY = "GET /v1/revisions/current", "GET /v1/revisions/applied", "GET /v1/revisions"


def contents_of(revision: int) -> str:
    return f"POST /v1/revisions/{revision}/definitions"


async def edit(engine: FakeEngine, change: Change, *, owner: str = "cold-chain", by: str = "bob") -> None:
    """Change something behind the files."""
    plan = Plan("dev", URL, owner, Fingerprint(engine.current.number, ""), ((change,),), "")
    await apply(plan, target_of(engine), Publication(None, by), tell=lambda receipt: None)
    engine.forget_plans(since=plan.base.revision)


def create(name: str, content: Content) -> Create:
    return Create(Key.parse(name), define(Key.parse(name), content), None)


def update(name: str, before: Content, after: Content) -> Update:
    key = Key.parse(name)
    return Update(key, define(key, before), define(key, after), (), None)


def known(contents: dict[str, Content]) -> dict[Key, str]:
    return {key: definition.digest for key, definition in files(contents).definitions.items()}


async def test_what_is_as_applied_and_as_declared_takes_one_request_whatever_its_size() -> None:
    engine = FakeEngine()
    contents: dict[str, Content] = {"tracker": {}, **{f"tracker/c{n}": {} for n in range(1_000)}}
    await publish(engine, contents)
    engine.requests.clear()
    observed = await target_of(engine).observe("cold-chain", known(contents))
    assert engine.requests == [CURRENT]
    assert len(observed.digests) == 1_001
    assert observed.definitions == {}


async def test_observing_what_was_edited_takes_two_requests_and_publishing_it_one() -> None:
    engine = FakeEngine()
    await publish(engine, {"tracker": {}, **{f"tracker/c{n}": {} for n in range(50)}})
    engine.requests.clear()
    target = target_of(engine)
    desired = files({"tracker": {"description": "new"}})
    made = make_plan(desired, await target.observe("cold-chain", {}), environment="dev", target=URL)
    await apply(made, target, BY_ANA, tell=lambda receipt: None)
    assert engine.requests == [CURRENT, contents_of(1), "POST /v1/revisions"]


async def test_what_others_did_costs_one_request_more_and_what_drifted_three() -> None:
    engine = FakeEngine()
    old: dict[str, Content] = {"tracker": {}, "tracker/a": {"url": "https://old.test"}}
    await publish(engine, old)
    await edit(engine, create("fridge", {}), owner="cold-store")
    engine.requests.clear()
    await target_of(engine).observe("cold-chain", known(old))
    assert engine.requests == [CURRENT, APPLIED]
    await edit(engine, update("tracker/a", old["tracker/a"], {"url": "https://new.test"}))
    engine.requests.clear()
    observed = await target_of(engine).observe("cold-chain", known(old))
    assert engine.requests == [CURRENT, APPLIED, contents_of(1), HISTORY, contents_of(3)]
    assert observed.blame == {Key("tracker", "a"): Blame("bob", 3, engine.current.publication.at)}


@pytest.mark.parametrize(("later", "pages", "found"), [(0, 1, True), (60, 2, True), (190, 4, True), (250, 4, False)])
async def test_who_changed_something_is_looked_for_in_four_pages_of_the_history(
    later: int, pages: int, found: bool
) -> None:
    engine = FakeEngine()
    await publish(engine, {"tracker": {}})
    await edit(engine, update("tracker", {}, {"description": "edited"}))
    for n in range(later):
        await edit(engine, create(f"lamp-{n}", {}), owner="cold-store", by="eve")
    engine.requests.clear()
    observed = await target_of(engine).observe("cold-chain", {})
    assert engine.requests.count(HISTORY) == pages
    assert observed.blame == ({Key("tracker"): Blame("bob", 2, engine.revisions[2].publication.at)} if found else {})


async def test_an_observer_sends_nothing_but_questions() -> None:
    engine = FakeEngine()
    await publish(engine, {"tracker": {}, "tracker/a": {"url": "https://old.test"}})
    await edit(engine, update("tracker/a", {"url": "https://old.test"}, {"url": "https://new.test"}))
    engine.requests.clear()
    observer = EngineObserver(URL, TOKEN, transport=httpx.ASGITransport(engine.app))
    observed = await observer.observe("cold-chain", {})
    made = make_plan(files({"tracker": {}}), observed, environment="dev", target=URL)
    await observer.as_of(1, "cold-chain", {})
    await observer.everything(2)
    await observer.history(limit=10)
    await observer.close()
    assert [change.kind for change in made.changes] == ["delete"]
    assert {request for request in engine.requests if not request.startswith("GET ")} == {
        contents_of(1),
        contents_of(2),
    }
    assert not hasattr(observer, "writer")
    assert not hasattr(observer.client, "publish")


# Publishing


async def test_a_definition_that_the_engine_refuses_is_named() -> None:
    engine = FakeEngine()
    made = await plan_for(engine, {"tracker": {}, "tracker/a": {"url": "nowhere"}})
    report = await apply(made, target_of(engine), BY_ANA, tell=lambda receipt: None)
    assert isinstance(report.error, TargetRejected)
    assert report.error.status == 422
    assert report.error.problems == ("tracker/a url: not a URL.",)
    assert engine.current.number == 0


async def test_a_stale_plan_says_what_was_expected_and_found_and_who_changed_it() -> None:
    engine = FakeEngine()
    old, new, other = {"url": "https://old.test"}, {"url": "https://new.test"}, {"url": "https://other.test"}
    await publish(engine, {"tracker": {}, "tracker/a": old, "tracker/b": old, "tracker/c": old})
    made = await plan_for(engine, {"tracker": {}, "tracker/a": new, "tracker/b": new, "tracker/d": new, "fridge": {}})
    await publish(engine, {"tracker": {}, "tracker/a": other, "tracker/c": old, "tracker/d": other}, by="bob")
    await publish(engine, {"fridge": {}}, owner="cold-store", by="eve")
    report = await apply(made, target_of(engine), BY_ANA, tell=lambda receipt: None)
    a, b, d, fridge = Key("tracker", "a"), Key("tracker", "b"), Key("tracker", "d"), Key("fridge")
    assert isinstance(report.error, PlanStale)
    assert str(report.error).splitlines() == [
        f"The plan is stale: what it touches at {URL} has changed since revision 1. Nothing was applied.",
        f"    fridge: expected nothing there, found digest {define(fridge, {}).digest} of the project cold-store; "
        "created by eve in revision 3 at 2026-11-23 14:22:18 UTC",
        f"    tracker/a: expected digest {define(a, old).digest}, found digest {define(a, other).digest}; "
        "updated by bob in revision 2 at 2026-11-23 14:21:18 UTC",
        f"    tracker/b: expected digest {define(b, old).digest}, found nothing; "
        "deleted by bob in revision 2 at 2026-11-23 14:21:18 UTC",
        f"    tracker/d: expected nothing there, found digest {define(d, other).digest}; "
        "created by bob in revision 2 at 2026-11-23 14:21:18 UTC",
        "Plan again, and review what is different now:",
        "",
        "    reconciler plan -e dev",
    ]


async def test_a_stale_plan_with_many_reasons_names_ten() -> None:
    engine = FakeEngine()
    made = await plan_for(engine, {f"type-{n:02}": {} for n in range(15)})
    await publish(engine, {f"type-{n:02}": {} for n in range(15)})
    report = await apply(made, target_of(engine), BY_ANA, tell=lambda receipt: None)
    lines = str(report.error).splitlines()
    assert sum("expected nothing there" in line for line in lines) == 10
    assert "    and 5 more" in lines


async def test_a_stale_plan_says_so_when_nobody_is_on_record() -> None:
    engine = FakeEngine()
    made = await plan_for(engine, {"tracker": {}})
    await publish(engine, {"tracker": {}})
    engine.forget_changes()
    report = await apply(made, target_of(engine), BY_ANA, tell=lambda receipt: None)
    assert "found digest" in str(report.error)
    assert "; by whom is not in the recent history" in str(report.error)


async def test_a_stale_plan_tells_of_moves_adoptions_and_secrets() -> None:
    engine = FakeEngine()
    engine.secrets["TOKEN"] = "first-value"
    old, new = {"url": "https://old.test"}, {"url": "https://new.test"}
    ours: dict[str, Content] = {
        "tracker": {},
        **{f"tracker/{n}": old for n in "abc"},
        "tracker/s": {"body": "${secret.TOKEN}"},
    }
    await publish(engine, ours)
    await publish(engine, {"fridge": {}}, owner="cold-store")
    state = (await target_of(engine).observe("cold-chain", {})).secrets["TOKEN"]
    engine.secrets["TOKEN"] = "second-value"
    second = (await target_of(engine).observe("cold-chain", {})).secrets["TOKEN"].current
    a, b, c, x, fridge = (Key.parse(name) for name in ("tracker/a", "tracker/b", "tracker/c", "tracker/x", "fridge"))
    changes: tuple[Change, ...] = (
        update("tracker/a", old, new),
        Move(Key("tracker", "z"), define(b, old), define(Key("tracker", "z"), old), (), None),
        Move(x, define(c, old), define(x, old), (), None),
        Adopt(fridge, define(fridge, {}), define(fridge, {}), "cold-store", (), None),
        Resecret(Key("tracker", "s"), "TOKEN", state.published, second, state.callbacks),
    )
    made = Plan("dev", URL, "cold-chain", Fingerprint(2, ""), (changes,), "")
    for each in (
        Move(Key("tracker", "y"), define(a, old), define(Key("tracker", "y"), old), (), None),
        update("tracker/b", old, new),
        create("tracker/x", new),
    ):
        await edit(engine, each)
    await edit(engine, Adopt(fridge, define(fridge, {}), define(fridge, {}), "cold-store", (), None), owner="", by="")
    engine.secrets["TOKEN"] = "third-value"
    third = (await target_of(engine).observe("cold-chain", {})).secrets["TOKEN"].current
    report = await apply(made, target_of(engine), BY_ANA, tell=lambda receipt: None)
    digest_of_old, digest_of_new = define(a, old).digest, define(a, new).digest
    assert isinstance(report.error, PlanStale)
    assert str(report.error).splitlines()[1:-3] == [
        f"    tracker/a: expected digest {digest_of_old}, found nothing; "
        "moved to tracker/y by bob in revision 3 at 2026-11-23 14:22:18 UTC",
        f"    tracker/b: expected digest {digest_of_old}, found digest {digest_of_new}; "
        "updated by bob in revision 4 at 2026-11-23 14:23:18 UTC",
        f"    tracker/x: expected nothing there, found digest {digest_of_new}; "
        "created by bob in revision 5 at 2026-11-23 14:24:18 UTC",
        f"    fridge: expected digest {define(fridge, {}).digest} of the project cold-store, "
        f"found digest {define(fridge, {}).digest} that nobody owns; "
        "adopted by unknown in revision 6 at 2026-11-23 14:25:18 UTC",
        f"    secret TOKEN: expected fingerprint {second} now, found fingerprint {third}",
    ]


async def test_a_refusal_that_the_target_can_not_see_for_itself_is_quoted() -> None:
    engine = FakeEngine()
    await publish(engine, {"tracker": {}, "tracker/a": {}})
    await publish(engine, {"fridge": {}, "fridge/a": {}}, owner="cold-store")
    fridge = Key("fridge")
    adopt = Adopt(fridge, define(fridge, {}), define(fridge, {}), "cold-store", (), None)
    made = Plan("dev", URL, "cold-chain", Fingerprint(2, ""), ((adopt,),), "")
    report = await apply(made, target_of(engine), BY_ANA, tell=lambda receipt: None)
    assert isinstance(report.error, PlanStale)
    assert "    fridge can not be adopted without its callbacks: a." in str(report.error).splitlines()


async def test_publishers_that_are_always_faster_end_the_attempts() -> None:
    engine = FakeEngine()
    made = await plan_for(engine, {"tracker": {}})
    tries = 0

    async def overtake(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal tries
        if is_publication(request):
            tries += 1
            await publish(engine, {"beacon": {"description": f"{tries}"}}, owner="cold-store")
        return await send(request)

    report = await carry_out(made, engine, overtake)
    assert isinstance(report.error, TargetUnavailable)
    assert "Nothing was applied; apply again." in str(report.error)
    assert tries == 8


# Answers that got lost


async def test_an_answer_that_got_lost_after_the_publication_is_found() -> None:
    engine = FakeEngine()
    await publish(engine, {"tracker": {}, "tracker/old": {}})
    made = await plan_for(engine, {"tracker": {"description": "new"}, "tracker/a": {}})

    async def lose_the_answer(request: httpx.Request, send: Send) -> httpx.Response:
        response = await send(request)
        if is_publication(request):
            raise httpx.ReadTimeout("", request=request)
        return response

    report = await carry_out(made, engine, lose_the_answer)
    assert report.succeeded
    assert report.revision == 2
    assert engine.current.number == 2


async def test_a_publication_that_never_arrived_leaves_the_outcome_open() -> None:
    engine = FakeEngine()
    made = await plan_for(engine, {"tracker": {}})

    async def lose_the_request(request: httpx.Request, send: Send) -> httpx.Response:
        if is_publication(request):
            raise httpx.ReadError("", request=request)
        return await send(request)

    report = await carry_out(made, engine, lose_the_request)
    assert isinstance(report.error, TargetUnavailable)
    assert "Whether the plan was applied is not known." in str(report.error)
    assert str(report.error).endswith("\n\n    reconciler plan -e dev")


async def test_an_engine_that_is_gone_after_the_publication_leaves_the_outcome_open() -> None:
    engine = FakeEngine()
    made = await plan_for(engine, {"tracker": {}})

    async def break_down(request: httpx.Request, send: Send) -> httpx.Response:
        if is_publication(request):
            await send(request)
            raise httpx.ReadError("", request=request)
        raise httpx.ConnectError("", request=request)

    report = await carry_out(made, engine, break_down)
    assert "Whether the plan was applied is not known." in str(report.error)
    assert report.revision is None


async def test_a_lost_publication_that_was_overtaken_is_sent_again() -> None:
    engine = FakeEngine()
    made = await plan_for(engine, {"tracker": {}})
    lost = False

    async def lose_and_overtake(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal lost
        if is_publication(request) and not lost:
            lost = True
            await publish(engine, {"beacon": {}}, owner="cold-store")
            raise httpx.ReadError("", request=request)
        return await send(request)

    report = await carry_out(made, engine, lose_and_overtake)
    assert report.succeeded
    assert report.revision == 2


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_lost_answer_to_a_plan_of_moves_adoptions_and_secrets_is_found_too(arrives: bool) -> None:
    engine = FakeEngine()
    engine.secrets["TOKEN"] = "first-value"
    await publish(engine, {"tracker": {}, "tracker/a": {"body": "${secret.TOKEN}"}})
    await publish(engine, {"fridge": {}}, owner="cold-store")
    state = (await target_of(engine).observe("cold-chain", {})).secrets["TOKEN"]
    engine.secrets["TOKEN"] = "second-value"
    second = (await target_of(engine).observe("cold-chain", {})).secrets["TOKEN"].current
    a, b, fridge = Key("tracker", "a"), Key("tracker", "b"), Key("fridge")
    content = {"body": "${secret.TOKEN}"}
    changes: tuple[Change, ...] = (
        Move(b, define(a, content), define(b, content), (), None),
        Adopt(fridge, define(fridge, {}), define(fridge, {"description": "ours"}), "cold-store", (), None),
        Resecret(a, "TOKEN", state.published, second, state.callbacks),
    )
    lost = False

    async def lose(request: httpx.Request, send: Send) -> httpx.Response:
        nonlocal lost
        if not is_publication(request) or lost:
            return await send(request)
        lost = True
        if arrives:
            await send(request)
        else:
            await edit(engine, create("lamp", {}), owner="somebody")
        raise httpx.ReadTimeout("", request=request)

    made = Plan("dev", URL, "cold-chain", Fingerprint(2, ""), (changes,), "5b" * 16)
    report = await carry_out(made, engine, lose)
    assert report.succeeded
    assert report.revision == engine.current.number == (3 if arrives else 4)
    assert {str(key): owned.owner for key, owned in engine.current.owned.items() if key.device_type != "lamp"} == {
        "tracker": "cold-chain",
        "tracker/b": "cold-chain",
        "fridge": "cold-chain",
    }


async def test_somebody_elses_publication_of_the_same_goal_is_not_taken_for_ours() -> None:
    engine = FakeEngine()
    made = Plan("dev", URL, "cold-chain", Fingerprint(0, ""), ((create("tracker", {}),),), "5b" * 16)

    async def lose_to_another(request: httpx.Request, send: Send) -> httpx.Response:
        if is_publication(request):
            another = Plan("dev", URL, "cold-chain", Fingerprint(0, ""), made.stages, "ab" * 16)
            await apply(another, target_of(engine), BY_ANA, tell=lambda receipt: None)
            raise httpx.ReadError("", request=request)
        return await send(request)

    report = await carry_out(made, engine, lose_to_another)
    assert isinstance(report.error, PlanStale)


# Interruption


@asynccontextmanager
async def interrupted_while_publishing(
    engine: FakeEngine,
) -> AsyncIterator[tuple[list[Receipt], "asyncio.Task[Report]"]]:
    """An apply that was cancelled once its publication was on the wire; it arrives when the body of the `with` ends."""
    on_the_wire, go_on = asyncio.Event(), asyncio.Event()
    made = await plan_for(engine, {"tracker": {}, "tracker/a": {}})

    async def hold(request: httpx.Request, send: Send) -> httpx.Response:
        if is_publication(request):
            on_the_wire.set()
            await go_on.wait()
        return await send(request)

    told: list[Receipt] = []
    target = EngineTarget(URL, TOKEN, transport=Wire(engine, hold))
    task = asyncio.create_task(apply(made, target, BY_ANA, tell=told.append))
    await on_the_wire.wait()
    task.cancel()
    yield told, task
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_publication_under_way_is_finished_and_told_when_the_apply_is_interrupted() -> None:
    engine = FakeEngine()
    async with interrupted_while_publishing(engine) as (told, task):
        assert told == []
        assert not task.done()
    assert [str(receipt.key) for receipt in told] == ["tracker", "tracker/a"]
    assert engine.current.number == 1


async def test_a_second_interruption_is_obeyed_at_once() -> None:
    engine = FakeEngine()
    async with interrupted_while_publishing(engine) as (told, task):
        await asyncio.wait([task], timeout=0)  # the first interruption arrives
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert told == []
    assert engine.current.number == 0
