"""A mail as bytes: what was meant can be read back, and nothing else can be said."""

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.grammar.escape import Context
from reconciler.grammar.template import Rendered, Secret
from reconciler.model.delivery import Mail, Unreachable
from reconciler.runtime.channels.mail_settings import is_address
from reconciler.runtime.channels.mail_wire import MAX_SUBJECT, compose
from reconciler.runtime.channels.wire import Filling

AT = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC)
HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
    *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
]
ANYTHING = st.text(st.characters(codec=None, categories=None) | st.sampled_from("\r\n\0. =?\ud83d"), max_size=300)


def a_mail(
    subject: Rendered = "1C178: ERROR", text: Rendered = "t=21\n", *, recipients: tuple[str, ...] = ("ops@example.com",)
) -> Mail:
    return Mail(id="65f0c0ffee.1", recipient=recipients[0], recipients=recipients, subject=subject, text=text)


def composed(mail: Mail, *, secrets: dict[str, str] | None = None) -> bytes:
    letter = compose(mail, sender="engine@example.com", sent_at=AT, secret=Filling((secrets or {}).get))
    assert isinstance(letter, bytes)
    return letter


def read(letter: bytes) -> tuple[list[str], str, str]:
    """The names of the headers, the subject and the text, as an ordinary reader sees them."""
    message = message_from_bytes(letter)
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    subject = str(make_header(decode_header(message["Subject"])))
    return list(message.keys()), subject, payload.decode().replace("\r\n", "\n")


def test_a_plain_mail_reads_plainly() -> None:
    mail = a_mail("1C178: ERROR", "t=21\n.\nno news", recipients=("ops@example.com", "lab@example.com"))
    assert composed(mail).decode() == (
        "From: engine@example.com\r\n"
        "To: ops@example.com,\r\n"
        " lab@example.com\r\n"
        "Subject: 1C178: ERROR\r\n"
        "Date: Mon, 23 Nov 2026 14:19:18 +0000\r\n"
        "Message-ID: <65f0c0ffee.1@example.com>\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: 7bit\r\n"
        "\r\n"
        "t=21\r\n"
        ".\r\n"
        "no news\r\n"
    )


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("", "7bit"),
        ("t=21\tok", "7bit"),
        ("x" * 76, "7bit"),
        ("x" * 77, "quoted-printable"),
        ("a blank at the end \n", "quoted-printable"),
        ("From here on\n", "quoted-printable"),
        ("21 °C in the hall", "quoted-printable"),
        ("温度は二十一度です", "base64"),
        ("\0" * 40, "base64"),
    ],
)
def test_a_text_is_as_readable_on_the_wire_as_it_can_be(text: str, encoding: str) -> None:
    assert f"Content-Transfer-Encoding: {encoding}\r\n".encode() in composed(a_mail(text=text))


@given(subject=ANYTHING, text=ANYTHING)
@example(subject="x\r\nBcc: eve@example.com", text="\r\n.\r\nMAIL FROM:<eve@example.com>\r\n")
@example(subject="=?utf-8?q?x=0D=0ABcc:_eve@example.com?=", text="\n.\n")
@example(subject="=?utf-8?b?QmNj?= plain", text="=?utf-8?b?QmNj?=")
@example(subject=" blanks  within and around ", text="  \n\n  ")
@example(subject="x" * 5_000, text="x" * 5_000)
@example(subject="é" * 5_000, text="é" * 5_000)
@example(subject="\u2028\x85\x0b\x1c", text="\u2028\x85\x0b\x1c\x00")
def test_whatever_is_in_it_a_mail_has_our_headers_and_reads_back(subject: str, text: str) -> None:
    letter = composed(a_mail(subject, text))
    names, read_subject, read_text = read(letter)
    assert names == HEADERS
    spoken = re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", re.sub("[\ud800-\udfff]", "\ufffd", subject))
    assert read_subject == (spoken if len(spoken) <= MAX_SUBJECT else spoken[: MAX_SUBJECT - 1] + "…")
    lines = re.sub("\r\n?", "\n", re.sub("[\ud800-\udfff]", "\ufffd", text))
    assert read_text == (lines if lines.endswith("\n") else lines + "\n")


@given(subject=ANYTHING, text=ANYTHING)
def test_on_the_wire_there_are_short_lines_of_ascii_and_nothing_else(subject: str, text: str) -> None:
    lines = composed(a_mail(subject, text)).split(b"\r\n")
    assert lines.pop() == b""
    assert all(re.fullmatch(rb"[\t -~]{0,76}", line) for line in lines)


@given(name=ANYTHING)
def test_an_id_stays_one_word(name: str) -> None:
    mail = Mail(id=name, recipient="a@b.test", recipients=("a@b.test",), subject="", text="")
    lines = composed(mail).decode().split("\r\n")
    assert [line for line in lines if re.fullmatch(r"Message-ID: <[A-Za-z0-9.-]*@example\.com>", line)] == [lines[4]]


def test_secrets_are_filled_in_and_cannot_leave_their_place() -> None:
    secret = Secret("TOKEN", Context.HEADER), Secret("TOKEN", Context.TEXT)
    mail = a_mail(("key ", secret[0]), ("key ", secret[1]))
    letter = composed(mail, secrets={"TOKEN": "a\r\nBcc: eve@example.com"})
    names, subject, text = read(letter)
    assert names == HEADERS
    assert (subject, text) == ("key a  Bcc: eve@example.com", "key a\nBcc: eve@example.com\n")


def test_a_missing_secret_is_named() -> None:
    mail = a_mail(text=("key ", Secret("NOWHERE", Context.TEXT)))
    outcome = compose(mail, sender="engine@example.com", sent_at=AT, secret=Filling(dict[str, str]().get))
    assert isinstance(outcome, Unreachable)
    assert (outcome.reason, "NOWHERE" in outcome.detail) == ("secret-missing", True)


ADDRESSES = ["a@b", "ops+night.shift@mail.example.com", "o'brien@x-y.example", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"]
NO_ADDRESSES = [
    *("", "ops", "@example.com", "ops@", "a@b@c", ".a@b", "a.@b", "a..b@c", "a@-b", "a@b-", "a@b..c", "a@b."),
    *("a b@c", "a@b c", "<a@b>", "A <a@b>", '"a"@b', "a@b\r\nRCPT TO:<eve@c>", "a@b\n", "a@b,c@d", "a\0@b", "ä@b"),
    *("=?utf-8?b?DQpCY2M6IGV2ZUBj?=@b", "=?utf-8?q?=0A?=@b"),
    *("a@ä", "a@b> SIZE=1", "a@[b]", f"{'a' * 250}@b.example"),
]


@pytest.mark.parametrize("text", ADDRESSES)
def test_these_are_addresses(text: str) -> None:
    assert is_address(text)
    assert f"To: {text}\r\n".encode() in composed(a_mail(recipients=(text,)))


@pytest.mark.parametrize("text", NO_ADDRESSES)
@pytest.mark.parametrize("among_others", [False, True])
def test_to_these_nothing_is_sent(text: str, *, among_others: bool) -> None:
    mail = a_mail(recipients=("ops@example.com", text) if among_others else (text,))
    outcome = compose(mail, sender="engine@example.com", sent_at=AT, secret=Filling(dict[str, str]().get))
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == "bad-mail-address"
    assert outcome.detail.isprintable()
