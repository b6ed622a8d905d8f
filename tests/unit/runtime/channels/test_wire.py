"""Requests as bytes: what is written, what is refused, and that secrets stay where they belong."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.grammar.escape import Context
from reconciler.grammar.template import Rendered, Secret
from reconciler.model.delivery import Accepted, HttpRequest, Refused, Unreachable
from reconciler.model.resource import Method
from reconciler.runtime.channels.wire import Endpoint, Filling, compose, fixed_lines

SECRETS = {"TOKEN": "s3cret/ü token", "SHORT": "1234567", "LOGIN": "ana", "BREAK": "a\r\nb"}
FIXED = " HTTP/1.1\r\nHost: h\r\n"


def a_request(
    target: Rendered = "/",
    *headers: tuple[str, Rendered],
    method: Method = Method.POST,
    body: Rendered | None = "{}",
    credentials: Rendered | None = None,
) -> HttpRequest:
    return HttpRequest(
        method=method,
        scheme="http",
        host="h",
        port=80,
        target=target,
        headers=headers,
        credentials=credentials,
        body=body,
        send_sni=False,
    )


def composed(request: HttpRequest) -> bytes:
    message = compose(request, fixed=FIXED, secret=Filling(SECRETS.get))
    assert isinstance(message, bytes), message
    return message


def refusal(request: HttpRequest) -> tuple[str, str]:
    outcome = compose(request, fixed=FIXED, secret=Filling(SECRETS.get))
    assert isinstance(outcome, Unreachable)
    return outcome.reason, outcome.detail


def test_a_post_is_written_in_one_piece() -> None:
    request = a_request("/up?x=1", ("X-A", "1"), ("Content-Type", "text/plain"), body="é")
    assert composed(request) == (
        b"POST /up?x=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n\xc3\xa9"
    )


@pytest.mark.parametrize(
    ("method", "body", "end"),
    [
        (Method.GET, None, b"Host: h\r\n\r\n"),
        (Method.POST, None, b"Content-Length: 0\r\n\r\n"),
        (Method.PUT, "", b"Content-Length: 0\r\n\r\n"),
        (Method.GET, "odd", b"Content-Length: 3\r\n\r\nodd"),
    ],
)
def test_the_length_is_written_where_a_body_may_be_expected(method: Method, body: str | None, end: bytes) -> None:
    assert composed(a_request(method=method, body=body)).endswith(end)


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        (Endpoint("http", "h.test", 80, False), "h.test"),
        (Endpoint("http", "h.test", 443, False), "h.test:443"),
        (Endpoint("https", "h.test", 443, True), "h.test"),
        (Endpoint("https", "::1", 8443, True), "[::1]:8443"),
    ],
)
def test_host_has_the_port_when_it_is_not_that_of_the_scheme(endpoint: Endpoint, host: str) -> None:
    assert fixed_lines(endpoint, "agent/1") == (f" HTTP/1.1\r\nHost: {host}\r\nUser-Agent: agent/1\r\nAccept: */*\r\n")


@pytest.mark.parametrize("endpoint", [Endpoint("http", "a\r\nb", 80, False), Endpoint("ftp", "h", 21, False)])
def test_an_endpoint_that_cannot_be_written_is_refused(endpoint: Endpoint) -> None:
    lines = fixed_lines(endpoint, "agent/1")
    assert isinstance(lines, Unreachable)
    assert lines.reason == "bad-request-text"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (a_request("no-slash"), "The path or query"),
        (a_request("/a b"), "The path or query"),
        (a_request("/a\r\nX: y"), "The path or query"),
        (a_request("/é"), "The path or query"),
        (a_request("/", ("X-A", "1\r\nX-B: 2")), "The value of the header X-A"),
        (a_request("/", ("X-A", "1\n")), "The value of the header X-A"),
        (a_request("/", ("X-A", "\0")), "The value of the header X-A"),
        (a_request("/", ("X A", "1")), "The header name 'X A'"),
        (a_request("/", ("X-A:", "1")), "The header name 'X-A:'"),
        (a_request("/", ("", "1")), "The header name ''"),
        (a_request("/", ("Content-Length", "5")), "The header name 'Content-Length'"),
        (a_request("/", ("TRANSFER-ENCODING", "chunked")), "The header name 'TRANSFER-ENCODING'"),
        (a_request("/", ("host", "other")), "The header name 'host'"),
        (a_request("/", ("X-A", "\ud800")), "The request holds half of a character"),
        (a_request(body="\ud800"), "The request holds half of a character"),
        (a_request("/", ("authorization", "x"), credentials="a:b"), "Credentials are given"),
    ],
)
def test_what_is_no_http_request_is_refused(request_: HttpRequest, words: str) -> None:
    reason, detail = refusal(request_)
    assert reason == "bad-request-text"
    assert detail.startswith(words)


@pytest.mark.parametrize("value", ["", "a\tb", "Zähler 7", "\u00a0", "日本"])
def test_other_values_are_sent_as_utf_8(value: str) -> None:
    assert f"X-A: {value}\r\n".encode() in composed(a_request("/", ("X-A", value)))


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_nothing_adds_a_line(target: str, name: str, value: str) -> None:
    message = compose(a_request(f"/{target}", (name, value)), fixed=FIXED, secret=Filling(SECRETS.get))
    if isinstance(message, bytes):
        head = message.partition(b"\r\n\r\n")[0]
        assert len(head.splitlines()) == head.count(b"\r\n") + 1 == 4


def test_secrets_are_escaped_for_their_place() -> None:
    secret = {context: Secret("TOKEN", context) for context in Context}
    request = a_request(
        ("/", secret[Context.PATH], "?", secret[Context.QUERY]),
        ("X-A", ("Bearer ", secret[Context.HEADER])),
        ("X-B", (Secret("BREAK", Context.HEADER),)),
        body=("[", secret[Context.JSON_VALUE], "]"),
    )
    assert (
        composed(request)
        == (
            "POST /s3cret%2F%C3%BC%20token?s3cret%2F%C3%BC%20token HTTP/1.1\r\nHost: h\r\n"
            "X-A: Bearer s3cret/ü token\r\nX-B: a  b\r\nContent-Length: 19\r\n\r\n"
            '["s3cret/ü token"]'
        ).encode()
    )


def test_credentials_become_basic_authorization() -> None:
    login = Secret("LOGIN", Context.TEXT)
    assert b"Authorization: Basic YW5hOmI=\r\n" in composed(a_request(credentials=(login, ":b")))
    assert b"Authorization: Basic YTpi\r\n" in composed(a_request(credentials="a:b"))


@pytest.mark.parametrize(
    "request_",
    [
        a_request(("/", Secret("NOWHERE", Context.PATH))),
        a_request("/", ("X-A", (Secret("NOWHERE", Context.HEADER),))),
        a_request(body=(Secret("NOWHERE", Context.TEXT),)),
        a_request(credentials=(Secret("NOWHERE", Context.TEXT), ":")),
    ],
    ids=["target", "header", "body", "credentials"],
)
def test_a_missing_secret_is_named_and_nothing_is_written(request_: HttpRequest) -> None:
    reason, detail = refusal(request_)
    assert reason == "secret-missing"
    assert "NOWHERE" in detail


def filled(*secrets: Secret) -> Filling:
    filling = Filling(SECRETS.get)
    compose(a_request(body=secrets), fixed=FIXED, secret=filling)
    return filling


@pytest.mark.parametrize(
    ("echo", "kept"),
    [
        ("you sent s3cret/ü token", "you sent ${secret.TOKEN}"),
        ("s3cret%2F%C3%BC%20token", "${secret.TOKEN}"),
        ('{"Authorization":"Bearer s3cret/ü token"}', '{"Authorization":"Bearer ${secret.TOKEN}"}'),
        ("nothing of it", "nothing of it"),
        ("", ""),
    ],
)
def test_an_answer_that_repeats_a_secret_is_kept_without_it(echo: str, kept: str) -> None:
    filling = filled(Secret("TOKEN", Context.TEXT))
    assert filling.without_echo(Accepted(200, echo.encode())) == Accepted(200, kept.encode())
    assert filling.without_echo(Refused(500, echo.encode())) == Refused(500, kept.encode())


def test_an_answer_that_repeats_credentials_is_kept_without_them() -> None:
    filling = Filling(SECRETS.get)
    request = a_request(credentials=(Secret("LOGIN", Context.TEXT), ":", Secret("TOKEN", Context.TEXT)))
    sent = composed(replace(request, headers=()))
    compose(request, fixed=FIXED, secret=filling)
    credentials = sent.split(b"Basic ")[1].split(b"\r\n")[0]
    assert filling.without_echo(Accepted(200, credentials)) == Accepted(200, b"${secret.LOGIN}:${secret.TOKEN}")


def test_a_short_secret_is_not_looked_for_since_it_occurs_by_accident() -> None:
    answer = Accepted(200, b'{"downlinkData":"1234567890abcdef"}')
    assert filled(Secret("SHORT", Context.TEXT)).without_echo(answer) is answer
