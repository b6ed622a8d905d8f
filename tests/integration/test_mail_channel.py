"""The mail channel against a real mail server on loopback, in all its moods."""

import asyncio
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.grammar.escape import Context
from reconciler.grammar.template import Rendered, Secret
from reconciler.model.delivery import Accepted, Mail, Outcome, Unreachable
from reconciler.runtime.channels.mail import MailChannel
from reconciler.runtime.channels.mail_settings import Login, MailSettings, Security
from reconciler.runtime.channels.smtp import MAX_REPLY
from reconciler.runtime.channels.tls import Tls
from tests.fakes import on_every_loop
from tests.mail_sink import Append, Behaviour, Drip, HangUp, MailSink, Raw, Refuse, Stage, Stall

LONG = timedelta(seconds=10)
SHORT = timedelta(seconds=0.4)
AT = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ME = ("me@example.com", "hunter22")
LOGIN = Login(*ME)
CANARY = "canary-0123456789"
STAGES: tuple[Stage, ...] = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END")
ANYTHING = st.text(st.characters(codec=None, categories=None) | st.sampled_from("\r\n\0. =?\ud83d"), max_size=200)
FOR_OPS = "Could not send email to ops@example.com: "
by_tls = pytest.mark.parametrize(
    ("mode", "security"), [("starttls", Security.STARTTLS), ("tls", Security.AT_ONCE)], ids=["STARTTLS", "at once"]
)


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """What a channel trusts when it is told of our authority."""
    file = tmp_path_factory.mktemp("authorities") / "private.pem"
    authority().cert_pem.write_to_path(str(file))
    return Tls(authorities=file, alpn=())


def server_tls(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate or authority().issue_cert("mail.test")).configure_cert(context)
    return context


async def resolve(host: str) -> Sequence[str]:
    return ("127.0.0.1",)


def a_mail(
    subject: Rendered = "1C178: ERROR", text: Rendered = "t=21\n", *, recipients: tuple[str, ...] = ("ops@example.com",)
) -> Mail:
    return Mail(id="65f0c0ffee.1", recipient=recipients[0], recipients=recipients, subject=subject, text=text)


@asynccontextmanager
async def opened(
    sink: MailSink,
    tls: Tls,
    *,
    security: Security = Security.OFFERED,
    login: Login | None = None,
    host: str = "mail.test",
    **options: Any,
) -> AsyncIterator[MailChannel]:
    """A channel to the sink; nothing of it is open in the end."""
    settings = MailSettings(host, sink.port, security, "engine@example.com", login)
    defaults: dict[str, Any] = {"secrets": {"TOKEN": CANARY}.get, "now": lambda: AT, "tls": tls, "resolve": resolve}
    channel = MailChannel(settings, **defaults | options)
    try:
        yield channel
    finally:
        await channel.close()
        await sink.until(lambda sink: sink.open == 0)


async def outcome_of(sink: MailSink, tls: Tls, *, timeout: timedelta = LONG, **options: Any) -> Outcome:
    """What comes of one mail."""
    async with opened(sink, tls, **options) as channel:
        return await channel.send(a_mail(), timeout=timeout)


async def failure_of(sink: MailSink, tls: Tls, **options: Any) -> tuple[str, str]:
    """Reason and detail of a mail that was not sent, the detail without the words that begin all of them."""
    outcome = await outcome_of(sink, tls, **options)
    assert isinstance(outcome, Unreachable)
    assert outcome.detail.startswith(FOR_OPS)
    assert outcome.detail.endswith(".")
    assert sink.mails == []
    return outcome.reason, outcome.detail.removeprefix(FOR_OPS)


# What goes out


@on_every_loop
async def test_a_mail_arrives_as_declared(tls: Tls) -> None:
    with MailSink() as sink:
        async with opened(sink, tls) as channel:
            mail = a_mail("Zähler 7", "21 °C\n", recipients=("ops@example.com", "lab@example.com"))
            assert await channel.send(mail, timeout=LONG) == Accepted(200, b"250 2.0.0 Kept as number 1")
        (received,) = sink.mails
        assert (received.sender, received.recipients) == ("engine@example.com", ("ops@example.com",))
        assert received.message.items() == [
            ("From", "engine@example.com"),
            ("To", "ops@example.com, lab@example.com"),
            ("Subject", "Zähler 7"),
            ("Date", "Mon, 23 Nov 2026 14:19:18 +0000"),
            ("Message-ID", "<65f0c0ffee.1@example.com>"),
            ("Auto-Submitted", "auto-generated"),
            ("MIME-Version", "1.0"),
            ("Content-Type", 'text/plain; charset="utf-8"'),
            ("Content-Transfer-Encoding", "quoted-printable"),
        ]
        assert received.text == "21 °C\n"
        assert sink.commands == [
            "EHLO [127.0.0.1]",
            "MAIL FROM:<engine@example.com>",
            "RCPT TO:<ops@example.com>",
            "DATA",
            "QUIT",
        ]


@pytest.fixture(scope="module")
def taking() -> Iterator[MailSink]:
    """A server that takes everything."""
    with MailSink() as sink:
        yield sink


@given(subject=ANYTHING, text=ANYTHING)
@example(
    subject="x\r\nBcc: eve@example.com", text="\r\n.\r\nMAIL FROM:<eve@example.com>\r\nRCPT TO:<eve@example.com>\r\n"
)
@example(subject="=?utf-8?q?x=0D=0ABcc:_eve@example.com?=", text=".\n..\n\n.")
@example(subject="é" * 5_000, text="x" * 100_000)
def test_nothing_in_a_mail_adds_a_header_a_recipient_or_a_second_mail(
    tls: Tls, taking: MailSink, subject: str, text: str
) -> None:
    async def send() -> Outcome:
        async with opened(taking, tls) as channel:
            return await channel.send(a_mail(subject, text), timeout=LONG)

    before = len(taking.mails)
    assert isinstance(asyncio.run(send()), Accepted)
    (received,) = taking.mails[before:]
    assert (received.sender, received.recipients) == ("engine@example.com", ("ops@example.com",))
    assert [name for name, _ in received.message.items()] == [
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    ]
    # Line ends become one kind, the last line has one, and what is no character is shown as such; nothing else changes.
    lines = re.sub("\r\n?", "\n", re.sub("[\ud800-\udfff]", "\ufffd", text))
    assert received.text == (lines if lines.endswith("\n") else lines + "\n")


@on_every_loop
async def test_every_attempt_has_the_same_id_and_its_own_date(tls: Tls) -> None:
    dates = iter((AT, AT + timedelta(minutes=1)))
    with MailSink(Refuse("END", "451 4.3.0 Later")) as sink:
        async with opened(sink, tls, now=lambda: next(dates)) as channel:
            assert isinstance(await channel.send(a_mail(), timeout=LONG), Unreachable)
            assert sink.connections == 1  # a second attempt is not the channel's to make
            assert await channel.send(a_mail(), timeout=LONG) == Accepted(200, b"250 2.0.0 Kept as number 1")
        assert sink.mails[0].header("Message-ID") == "<65f0c0ffee.1@example.com>"
        assert sink.mails[0].header("Date") == "Mon, 23 Nov 2026 14:20:18 +0000"


@on_every_loop
async def test_a_server_that_knows_no_ehlo_is_greeted_as_of_old(tls: Tls) -> None:
    with MailSink(Refuse("EHLO", "502 5.5.1 Not here")) as sink:
        assert isinstance(await outcome_of(sink, tls), Accepted)
        assert sink.commands[:2] == ["EHLO [127.0.0.1]", "HELO [127.0.0.1]"]
    with MailSink(Refuse("EHLO", "421 4.3.2 Going down")) as sink:
        assert await failure_of(sink, tls) == ("mail-refused", "421 4.3.2 Going down (answer to EHLO).")


@on_every_loop
async def test_an_engine_without_a_name_gives_its_address(tls: Tls) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine knows no IPv6")
    with MailSink(host="::1") as sink:
        assert isinstance(await outcome_of(sink, tls, host="::1"), Accepted)
        assert sink.commands[0] == "EHLO [IPv6:::1]"


@on_every_loop
async def test_a_mail_to_no_address_or_without_its_secret_is_not_sent(tls: Tls) -> None:
    with MailSink() as sink:
        async with opened(sink, tls) as channel:
            for mail, reason in (
                (a_mail(recipients=("a@b.test>\r\nRCPT TO:<eve@b.test",)), "bad-mail-address"),
                (a_mail(recipients=("\ud83d@b.test",)), "bad-mail-address"),
                (a_mail(text=(Secret("NOWHERE", Context.TEXT),)), "secret-missing"),
            ):
                outcome = await channel.send(mail, timeout=LONG)
                assert isinstance(outcome, Unreachable)
                assert (outcome.reason, outcome.detail.isprintable()) == (reason, True)
        assert sink.connections == 0


# TLS and logins


@on_every_loop
@by_tls
@pytest.mark.parametrize("login", [None, LOGIN], ids=["nobody", "login"])
async def test_a_mail_goes_out_under_tls(tls: Tls, mode: Any, security: Security, login: Login | None) -> None:
    with MailSink(mode=mode, tls=server_tls(), required=True, login=ME if login else None) as sink:
        assert isinstance(await outcome_of(sink, tls, security=security, login=login), Accepted)
        assert (sink.mails[0].encrypted, sink.mails[0].login) == (True, ME[0] if login else None)


@on_every_loop
@pytest.mark.parametrize(("mode", "encrypted"), [("starttls", True), ("plain", False)])
async def test_smtp_turns_to_tls_when_that_is_offered(tls: Tls, mode: Any, *, encrypted: bool) -> None:
    with MailSink(mode=mode, tls=server_tls() if encrypted else None) as sink:
        assert isinstance(await outcome_of(sink, tls), Accepted)
        assert sink.mails[0].encrypted is encrypted


@on_every_loop
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_both_ways_to_log_in_are_known(tls: Tls, mechanism: str) -> None:
    with MailSink(mode="tls", tls=server_tls(), login=ME, mechanisms=[mechanism]) as sink:
        assert isinstance(await outcome_of(sink, tls, security=Security.AT_ONCE, login=LOGIN), Accepted)
        assert sink.mails[0].login == ME[0]


@on_every_loop
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_login_is_tried_once(tls: Tls, mechanism: str) -> None:
    with MailSink(mode="tls", tls=server_tls(), login=(ME[0], "another"), mechanisms=[mechanism]) as sink:
        assert await failure_of(sink, tls, security=Security.AT_ONCE, login=LOGIN) == (
            "mail-refused",
            "535 5.7.8 Authentication credentials invalid (answer to the login).",
        )
        assert sink.commands == ["EHLO [127.0.0.1]", "AUTH", "QUIT"]


@on_every_loop
async def test_a_server_that_takes_no_password_is_told_none(tls: Tls) -> None:
    with MailSink(mode="tls", tls=server_tls(), login=ME, mechanisms=[]) as sink:
        reason, detail = await failure_of(sink, tls, security=Security.AT_ONCE, login=LOGIN)
        assert (reason, "offers no login with a password" in detail) == ("mail-refused", True)
        assert "AUTH" not in sink.commands


@on_every_loop
@pytest.mark.parametrize(("security", "login"), [(Security.STARTTLS, None), (Security.OFFERED, LOGIN)])
async def test_where_tls_is_demanded_nothing_goes_out_without(
    tls: Tls, security: Security, login: Login | None
) -> None:
    with MailSink(login=ME if login else None) as sink:
        assert await failure_of(sink, tls, security=security, login=login) == (
            "tls-handshake",
            "mail.test offers no STARTTLS, and nothing is sent to it without TLS.",
        )
        assert sink.commands == ["EHLO [127.0.0.1]", "QUIT"]


@on_every_loop
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.OFFERED])
@pytest.mark.parametrize(
    ("behaviour", "detail"),
    [
        (Refuse("STARTTLS", "454 4.7.0 Not now"), "mail.test refused STARTTLS: 454 4.7.0 Not now."),
        (HangUp("STARTTLS"), "mail.test ended the connection during the TLS handshake."),
        (
            Raw("STARTTLS", b"220 go\r\n250 no TLS at all\r\n250 but answers\r\n"),
            "mail.test does not speak TLS on this port; what it answered to STARTTLS was no TLS.",
        ),
    ],
    ids=["refuses", "hangs up", "goes on plainly"],
)
async def test_tls_that_was_offered_and_fails_ends_the_talk(
    tls: Tls, security: Security, behaviour: Behaviour, detail: str
) -> None:
    with MailSink(behaviour, mode="starttls", tls=server_tls()) as sink:
        assert await failure_of(sink, tls, security=security) == ("tls-handshake", detail)
        assert "STARTTLS" in sink.commands
        assert not any(command.startswith(("MAIL", "AUTH")) for command in sink.commands)


@on_every_loop
@pytest.mark.parametrize("smuggled", [b"250 2.0.0 Ok\r\n" * 4, b"250-mail.test\r\n250 AUTH CRAM-MD5\r\n", b"250-mail"])
async def test_what_comes_in_clear_behind_starttls_is_not_believed(tls: Tls, smuggled: bytes) -> None:
    # If it were, it would answer EHLO: no PLAIN would be offered, or the answers would be off by one.
    with MailSink(Append("STARTTLS", smuggled), mode="starttls", tls=server_tls(), login=ME) as sink:
        outcome = await outcome_of(sink, tls, security=Security.STARTTLS, login=LOGIN)
        assert outcome == Accepted(200, b"250 2.0.0 Kept as number 1")
        assert (sink.mails[0].encrypted, sink.mails[0].login) == (True, ME[0])


@on_every_loop
@by_tls
@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (lambda: authority().issue_cert("other.test"), "is for another host"),
        (lambda: authority().issue_cert("127.0.0.1", common_name="mail.test"), "is for another host"),
        (lambda: trustme.CA().issue_cert("mail.test"), "comes from an unknown authority"),
        (
            lambda: authority().issue_cert("mail.test", not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1)),
            "has expired",
        ),
    ],
    ids=["another name", "common name alone", "unknown authority", "expired"],
)
async def test_a_certificate_has_to_be_trusted(
    tls: Tls, mode: Any, security: Security, certificate: Any, words: str
) -> None:
    with MailSink(mode=mode, tls=server_tls(certificate())) as sink:
        reason, detail = await failure_of(sink, tls, security=security)
        assert reason == "tls-certificate"
        assert detail.startswith(f"The certificate of mail.test {words}")


@on_every_loop
@by_tls
async def test_our_authority_is_trusted_only_when_it_is_named(mode: Any, security: Security) -> None:
    with MailSink(mode=mode, tls=server_tls()) as sink:
        assert (await failure_of(sink, Tls(alpn=()), security=security))[0] == "tls-certificate"


@on_every_loop
async def test_no_alpn_is_offered_and_the_host_is_named(tls: Tls) -> None:
    context = server_tls()
    context.set_alpn_protocols(["http/1.1"])
    seen: list[str | None] = []
    context.sni_callback = lambda connection, name, context: seen.append(name)
    with MailSink(mode="tls", tls=context) as sink:
        assert isinstance(await outcome_of(sink, tls, security=Security.AT_ONCE), Accepted)
        assert seen == ["mail.test"]
        assert sink.mails[0].alpn is None


@on_every_loop
async def test_the_wrong_kind_of_port_is_told(tls: Tls) -> None:
    with MailSink() as sink:
        reason, detail = await failure_of(sink, tls, security=Security.AT_ONCE)
        assert (reason, "smtp+starttls://" in detail) == ("tls-handshake", True)
    with MailSink(mode="tls", tls=server_tls()) as sink:
        reason, detail = await failure_of(sink, tls, timeout=SHORT)
        assert (reason, "smtps://" in detail) == ("deadline", True)


# Refusals


@on_every_loop
@pytest.mark.parametrize(
    ("stage", "which"),
    [
        ("CONNECT", "greeting"),
        ("MAIL", "answer to MAIL FROM"),
        ("RCPT", "answer to RCPT TO"),
        ("DATA", "answer to the mail"),
        ("END", "answer to the mail"),
    ],
)
@pytest.mark.parametrize("reply", ["450 4.2.0 Greylisted", "550 5.1.1 No such user", "421 4.3.2 Going down"])
async def test_a_refusal_is_told_in_the_words_of_the_server(tls: Tls, stage: Stage, which: str, reply: str) -> None:
    with MailSink(Refuse(stage, reply)) as sink:
        assert await failure_of(sink, tls) == ("mail-refused", f"{reply} ({which}).")
        assert sink.connections == 1


@on_every_loop
async def test_a_long_answer_is_cut_and_harmless(tls: Tls) -> None:
    answer = b"550-\x1b[31mfirst\x00\r\n550-\xff second\xe2\x80\xa8\r\n550 " + b"x" * 3_000 + b"\r\n"
    with MailSink(Raw("RCPT", answer)) as sink:
        _, detail = await failure_of(sink, tls)
        assert detail.startswith("550 [31mfirst  \ufffd second  xxx")
        assert detail.isprintable()
        assert len(detail) < MAX_REPLY + 50


@on_every_loop
@pytest.mark.parametrize(
    "echo", [CANARY, ME[1], b64encode(ME[1].encode()).decode(), b64encode(f"\0{ME[0]}\0{ME[1]}".encode()).decode()]
)
async def test_no_outcome_repeats_a_secret(tls: Tls, echo: str) -> None:
    mail = a_mail(("key ", Secret("TOKEN", Context.HEADER)), ("key ", Secret("TOKEN", Context.TEXT)))
    # At the length where an answer is cut, half of a secret must not be left either.
    replies = [f"550 {'x' * padding}{echo}" for padding in (0, MAX_REPLY - 10)]
    script = [Refuse("END", reply) for reply in [*replies, f"250 {echo}"]]
    with MailSink(*script, mode="tls", tls=server_tls(), login=ME) as sink:
        async with opened(sink, tls, security=Security.AT_ONCE, login=LOGIN) as channel:
            for reply in script:
                outcome = repr(await channel.send(mail, timeout=LONG))
                assert reply.reply[:3] in outcome
                assert echo[:5] not in outcome


# What else can go wrong


@on_every_loop
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_connection_that_ends_is_told(tls: Tls, stage: Stage, *, reset: bool) -> None:
    with MailSink(HangUp(stage, reset=reset)) as sink:
        reason, detail = await failure_of(sink, tls)
        assert reason == "connection-reset"
        if stage != "CONNECT":  # which may end before it had come about
            assert detail.startswith("mail.test ended the connection before it had sent its answer to ")


@on_every_loop
@pytest.mark.parametrize(
    "behaviour",
    [
        Raw("CONNECT", b"SSH-2.0-OpenSSH_9.6\r\n"),
        Raw("CONNECT", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Raw("CONNECT", b"\x16\x03\x01\x00\x00\n"),
        Raw("CONNECT", b"x" * 100_000),
        Raw("CONNECT", b"220-and so on\r\n" * 10_000),
        Raw("CONNECT", b"120 wait\r\n"),
        Raw("CONNECT", b"999 what\r\n"),
        Raw("CONNECT", b"\xff\xfe\r\n"),
        Raw("MAIL", b"354 too early\r\n"),
        Raw("DATA", b"250 too early\r\n"),
        Raw("END", b"354 again\r\n"),
        Append("RCPT", b"250 one too many\r\n"),
    ],
    ids=str,
)
async def test_what_is_no_smtp_is_told(tls: Tls, behaviour: Behaviour) -> None:
    with MailSink(behaviour) as sink:
        reason, detail = await failure_of(sink, tls)
        assert reason == "not-smtp"
        assert detail.startswith("mail.test does not speak SMTP: its ")
        assert detail.isprintable()


@on_every_loop
@pytest.mark.parametrize("behaviour", [*(Stall(stage) for stage in STAGES), Drip(0.01)], ids=str)
async def test_the_deadline_holds_over_all_of_the_talk(tls: Tls, behaviour: Behaviour) -> None:
    with MailSink(behaviour) as sink:
        reason, detail = await failure_of(sink, tls, timeout=SHORT)
        assert reason == "deadline"
        assert detail.startswith("Time is up: mail.test had not sent its ")


@on_every_loop
async def test_the_deadline_holds_over_starttls(tls: Tls) -> None:
    with MailSink(Stall("STARTTLS"), mode="starttls", tls=server_tls()) as sink:
        assert await failure_of(sink, tls, timeout=SHORT) == (
            "deadline",
            "Time is up: the TLS handshake with mail.test was not finished.",
        )


@on_every_loop
async def test_the_deadline_holds_over_finding_the_server(tls: Tls) -> None:
    async def find_nothing(host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    with MailSink() as sink:
        assert await failure_of(sink, tls, timeout=SHORT, resolve=find_nothing) == (
            "deadline",
            "Time is up: the name mail.test was not resolved yet.",
        )


@on_every_loop
async def test_what_became_of_a_mail_does_not_depend_on_the_goodbye(tls: Tls) -> None:
    with MailSink(Stall("QUIT"), HangUp("QUIT"), Raw("QUIT", b"\xff\r\n"), Refuse("QUIT")) as sink:
        async with opened(sink, tls) as channel:
            outcomes = [await channel.send(a_mail(), timeout=LONG) for _ in range(4)]
            assert [type(outcome) for outcome in outcomes] == [Accepted] * 4


@on_every_loop
async def test_a_server_that_is_not_there_is_told(tls: Tls) -> None:
    async def fail(host: str) -> Sequence[str]:
        raise OSError("Name or service not known")

    with MailSink() as sink:
        reason, detail = await failure_of(sink, tls, resolve=fail)
        assert (reason, detail) == (
            "unresolved",
            "The name mail.test could not be resolved: Name or service not known.",
        )
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sink.port = unused.getsockname()[1]
        settings = MailSettings("127.0.0.1", sink.port, Security.OFFERED, "engine@example.com")
        channel = MailChannel(settings, secrets=lambda name: None, now=lambda: AT, tls=tls)
        outcome = await channel.send(a_mail(), timeout=LONG)
        await channel.close()
        assert isinstance(outcome, Unreachable)
        assert outcome.reason == "connection-refused"


# Many mails


@on_every_loop
async def test_at_most_so_many_connections_are_open_at_once(tls: Tls) -> None:
    with MailSink(otherwise=Drip(0.0)) as sink:
        async with opened(sink, tls, connections=3) as channel:
            outcomes = await asyncio.gather(*(channel.send(a_mail(), timeout=LONG) for _ in range(20)))
        assert [type(outcome) for outcome in outcomes] == [Accepted] * 20
        assert (sink.connections, sink.most_open <= 4) == (20, True)  # one that is closed here may be open there


@on_every_loop
async def test_the_deadline_holds_over_waiting_for_a_turn(tls: Tls) -> None:
    with MailSink(otherwise=Stall("MAIL")) as sink:
        async with opened(sink, tls, connections=1) as channel:
            first = asyncio.create_task(channel.send(a_mail(), timeout=LONG))
            await sink.until(lambda sink: sink.open == 1)
            outcome = await channel.send(a_mail(), timeout=SHORT)
            assert isinstance(outcome, Unreachable)
            assert outcome.reason == "deadline"
            assert "all 1 connections to the mail server were busy" in outcome.detail
            assert not first.done()
        assert sink.connections == 1
        assert isinstance(await first, Unreachable)


@on_every_loop
@pytest.mark.parametrize("stage", ["CONNECT", "MAIL", "END", "QUIT"])
async def test_cancelling_closes_the_connection_and_frees_the_turn(tls: Tls, stage: Stage) -> None:
    with MailSink(Stall(stage)) as sink:
        async with opened(sink, tls, connections=1) as channel:
            sending = asyncio.create_task(channel.send(a_mail(), timeout=LONG))
            heard = {"CONNECT": "", "END": "DATA"}.get(stage, stage)
            await sink.until(lambda sink: sink.open == 1 and heard in " ".join(sink.commands))
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await sink.until(lambda sink: sink.open == 0)
            assert isinstance(await channel.send(a_mail(), timeout=LONG), Accepted)


@on_every_loop
@by_tls
async def test_closing_ends_what_is_in_flight(tls: Tls, mode: Any, security: Security) -> None:
    with MailSink(otherwise=Stall("MAIL"), mode=mode, tls=server_tls()) as sink:
        async with opened(sink, tls, security=security, connections=2) as channel:
            sending = [asyncio.create_task(channel.send(a_mail(), timeout=LONG)) for _ in range(4)]
            await sink.until(lambda sink: sum(line.startswith("MAIL") for line in sink.commands) == 2)
            await channel.close()
            outcomes = await asyncio.gather(*sending, channel.send(a_mail(), timeout=LONG))
            assert [getattr(outcome, "reason", None) for outcome in outcomes] == ["closing"] * 5
