import pytest

from reconciler.codec.delivery import dump_outcome, dump_request, load_outcome, load_request
from reconciler.grammar.escape import Context
from reconciler.grammar.template import Secret
from reconciler.model.delivery import Accepted, BatchLine, HttpRequest, Mail, Outcome, Refused, Request, Unreachable
from reconciler.model.resource import Method

POST = HttpRequest(
    method=Method.POST,
    scheme="https",
    host="ingest.example.com",
    port=443,
    target="/uplink/1C178?unit=%C2%B0C",
    headers=(("Content-Type", "application/json"), ("X-Site", "Zürich")),
    credentials=None,
    body='{"t":1000,"name":"\\"°\\n"}',
    send_sni=True,
)
WITH_SECRETS = HttpRequest(
    method=Method.GET,
    scheme="http",
    host="::1",
    port=9000,
    target=("/?key=", Secret("KEY", Context.QUERY)),
    headers=(("Authorization", ("Bearer ", Secret("TOKEN", Context.HEADER))),),
    credentials=("login:", Secret("PASSWORD", Context.TEXT)),
    body=None,
    send_sni=False,
)
LINE = BatchLine(
    method=Method.POST,
    scheme="https",
    host="ingest.example.com",
    port=443,
    path="/batch",
    before="site=Z%C3%BCrich&data=",
    after="",
    credentials=None,
    send_sni=True,
    line="1C178%3B1e2d%3B",
)
LINE_WITH_SECRETS = BatchLine(
    method=Method.GET,
    scheme="http",
    host="::1",
    port=9000,
    path=("/", Secret("PATH", Context.PATH)),
    before=("key=", Secret("KEY", Context.QUERY), "&data="),
    after=("&end=", Secret("END", Context.QUERY)),
    credentials=("login:", Secret("PASSWORD", Context.TEXT)),
    send_sni=False,
    line=("1C178%3B", Secret("MARK", Context.QUERY)),
)
MAIL = Mail(
    id="65536f00a1b2c3d4e5f6a7b8c9000000.1",
    recipient="b@example.com",
    recipients=("a@example.com", "b@example.com"),
    subject="Gerät 1C178",
    text="Line 1\nLine 2\r\n",
)
MAIL_WITH_SECRETS = Mail(
    id="65536f00a1b2c3d4e5f6a7b8c9000000.0",
    recipient="a@example.com",
    recipients=("a@example.com",),
    subject=("[", Secret("SITE", Context.HEADER), "] down"),
    text=("See ", Secret("LINK", Context.TEXT)),
)


@pytest.mark.parametrize("request_", [POST, WITH_SECRETS, LINE, LINE_WITH_SECRETS, MAIL, MAIL_WITH_SECRETS])
def test_a_kept_request_reads_back_equal(request_: Request) -> None:
    assert load_request(dump_request(request_)) == request_


def test_a_secret_is_kept_by_name_alone() -> None:
    assert b'{"secret":"TOKEN","context":"header"}' in dump_request(WITH_SECRETS)


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [("ingest.example.com", "https://ingest.example.com:8443"), ("::1", "https://[::1]:8443")],
)
def test_an_endpoint_is_scheme_host_and_port(host: str, endpoint: str) -> None:
    request = HttpRequest(
        method=Method.GET, scheme="https", host=host, port=8443, target="/", headers=(), credentials=None, body=None,
        send_sni=True,
    )  # fmt: skip

    assert request.endpoint == endpoint


@pytest.mark.parametrize(
    "outcome",
    [
        Accepted(204),
        Accepted(200, b'{"1C178":{"downlinkData":"0102030405060708"}}'),
        Refused(404, b"\xff\x00 not text"),
        Unreachable("deadline", "No answer within 10 s."),
    ],
)
def test_a_kept_outcome_reads_back_equal(outcome: Outcome) -> None:
    assert load_outcome(dump_outcome(outcome)) == outcome


def test_accepted_and_refused_are_never_confused() -> None:
    assert isinstance(load_outcome(dump_outcome(Refused(200))), Refused)
    assert isinstance(load_outcome(dump_outcome(Accepted(200))), Accepted)


def test_forms_of_another_version_are_named() -> None:
    for form in ("http/2", "mail/2", "carrier-pigeon/1"):
        with pytest.raises(ValueError, match=form):
            load_request(f'["{form}"]')
    with pytest.raises(ValueError, match="another version"):
        load_request("[[1]]")
    with pytest.raises(ValueError, match="does not know"):
        load_outcome('["maybe",1]')
