"""A mail as the bytes that go over the wire (RFC 5322, RFC 2045 to 2047).

1. Nine headers, all of them written here, in ASCII, in lines of at most 76 characters but for addresses. Whatever
   stands in subject or text, there are no others: the subject is visible ASCII or encoded words, and the text is behind
   the empty line and cannot end the mail, because the protocol stuffs dots and lines end with CR LF alone.
2. The subject's control characters and Unicode's line ends become a space, as in any header (`grammar.escape`); half a
   surrogate pair becomes U+FFFD, in the text too. A subject of more than 1,000 characters is cut, for servers cut long
   headers where they like.
3. The text is a sequence of lines: CR LF, CR and LF are line ends alike, and the last line has one. Everything else
   arrives as it was, NUL included.
4. Message-ID is the same for every attempt, so that who gets a mail twice can see it. `Auto-Submitted` keeps
   vacation programs from answering (RFC 3834 section 5).

Own code for the headers, because `email.message.EmailMessage` interprets what it is given: it decodes a device's
`=?utf-8?q?=0ABcc:…?=` and, before Python 3.11.10 (CVE-2024-6923), writes the line end out.
"""

import re
from base64 import b64encode, encodebytes
from binascii import b2a_qp
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from reconciler.grammar.escape import LONE_SURROGATE, NOT_IN_LINE
from reconciler.grammar.template import fill
from reconciler.model.delivery import Mail, Unreachable
from reconciler.runtime.channels.mail_settings import is_address
from reconciler.runtime.channels.unreachable import Reason, unreachable
from reconciler.runtime.channels.wire import Filling, SecretMissing

__all__ = ["MAX_SUBJECT", "compose"]

MAX_SUBJECT: Final = 1_000  # characters

# Fits into its line, is not mistaken for an encoded word, and has no blank at an end, which would be lost.
_PLAIN_SUBJECT = re.compile(r"(?!.*=\?)(?:[!-~](?:[ -~]{0,65}[!-~])?)?").fullmatch
# 39 bytes are 52 characters of base64: with `Subject: =?utf-8?b?` and `?=` no line is longer than 76 (RFC 2047, 2).
_WORD_BYTES: Final = 39
# Lines that nobody on the way folds, strips or quotes: a blank at the end is lost, `From ` gets a `>`.
_PLAIN_TEXT = re.compile(r"(?:(?!From )(?:[\t -~]{0,75}[!-~])?\r\n)*").fullmatch
_LINE_END = re.compile(r"\r\n?|\n")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9.]")


def compose(mail: Mail, *, sender: str, sent_at: datetime, secret: Filling) -> bytes | Unreachable:
    """The mail, header and text, lines ended by CR LF; or why there is none."""
    for address in (mail.recipient, *mail.recipients):
        if not is_address(address):
            detail = f"{_shown(address)} is no address of the form NAME@DOMAIN in ASCII letters."
            return unreachable(Reason.BAD_MAIL_ADDRESS, detail)
    try:
        subject = _subject(fill(mail.subject, secret))
        text = fill(mail.text, secret)
    except SecretMissing as missing:
        detail = f"The engine has no secret {missing.name} (--secrets); give it one and replay the delivery."
        return unreachable(Reason.SECRET_MISSING, detail)
    encoding, content = _encoded(_LINE_END.sub("\r\n", LONE_SURROGATE.sub("\ufffd", text)))
    _, _, domain = sender.rpartition("@")
    head = (
        f"From: {sender}",
        "To: " + ",\r\n ".join(mail.recipients),
        f"Subject: {subject}",
        f"Date: {format_datetime(sent_at)}",
        f"Message-ID: <{_NOT_IN_ID.sub('-', mail.id)}@{domain}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        f"Content-Transfer-Encoding: {encoding}",
        "\r\n",
    )
    return "\r\n".join(head).encode("ascii") + content


def _subject(text: str) -> str:
    """The value of the header, folded."""
    text = NOT_IN_LINE.sub(" ", LONE_SURROGATE.sub("\ufffd", text))
    if len(text) > MAX_SUBJECT:
        text = text[: MAX_SUBJECT - 1] + "…"
    if _PLAIN_SUBJECT(text):
        return text
    return "\r\n ".join(f"=?utf-8?b?{b64encode(word).decode()}?=" for word in _words(text))


def _words(text: str) -> Iterator[bytes]:
    """The text in pieces that an encoded word can hold, no character cut (RFC 2047 section 5)."""
    word = b""
    for character in text:
        encoded = character.encode()
        if len(word) + len(encoded) > _WORD_BYTES:
            yield word
            word = b""
        word += encoded
    yield word


def _encoded(text: str) -> tuple[str, bytes]:
    """The transfer encoding and the content in it, the last line ended."""
    if not text.endswith("\r\n"):
        text += "\r\n"
    if _PLAIN_TEXT(text):
        return "7bit", text.encode("ascii")
    content = text.encode()
    readable = b2a_qp(content)
    opaque = encodebytes(content).replace(b"\n", b"\r\n")
    return ("quoted-printable", readable) if len(readable) <= len(opaque) else ("base64", opaque)


def _shown(address: str) -> str:
    """An address that is none, fit to be shown."""
    return repr(address[:100])
