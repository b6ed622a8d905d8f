"""The rules of callbacks that send mail: `callbacks.md` section 4.3.

1. `recipient` is one address or several, separated by commas. It holds no variables, for a device must not choose who
   gets mail, and no secrets, for it is shown wherever a delivery is.
2. An address is what servers everywhere take, a part of what RFC 5321 section 4.1.2 and RFC 5322 section 3.4.1 allow:
   `local@domain` in ASCII, the local part a dot-atom, the domain a host name or an address literal. No display names,
   no quoted local parts, no comments.
3. Nobody is named twice. Letters count without regard to case, also in front of the @, where a server might tell them
   apart and none does.
4. Subject and text may be left out, as at the operator; a mail without both says nothing, which is worth a warning.
"""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from reconciler.diagnostics import Severity
from reconciler.errors import GrammarError
from reconciler.grammar.template import Template, parse_subject, parse_text_body, scan
from reconciler.model.content import Content, text_of
from reconciler.model.finding import Finding, finding, refused
from reconciler.model.resource import EmailChannel
from reconciler.model.template_rules import Scope, template

__all__ = ["email_channel"]

# RFC 5321 section 4.5.3.1; 254 is what remains of its 256 octets of path without the angle brackets.
_MAX_ADDRESS: Final = 254
_MAX_LOCAL: Final = 64
# RFC 2047 section 2.
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[BbQq]\?")
# RFC 5322 section 3.2.3, without the braces, which are variables here.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`|~-]+"
_LOCAL = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_EMPTY: Final = Template("", ())


def email_channel(content: Content, scope: Scope, found: list[Finding]) -> EmailChannel | None:
    """The channel of a callback; None, and findings, without recipients and texts that can be used."""
    recipients: tuple[str, ...] = ()
    if "recipient" in content:
        text = text_of(content, "recipient")
        wrong = [*_reference_findings(text)] or [*_address_findings(text)]
        found += wrong
        if not refused(wrong):
            recipients = tuple(address for _, address in _entries(text))
    else:
        detail = "A callback of channel email needs the address to send to."
        found.append(finding("missing-key", ("recipient",), detail, help="For example: recipient: ops@example.com"))
    subject: Template | None = _EMPTY
    message: Template | None = _EMPTY
    if "subject" in content:
        subject = template(parse_subject, content["subject"], ("subject",), scope, found)
    if "message" in content:
        message = template(parse_text_body, content["message"], ("message",), scope, found)
    if "subject" not in content and "message" not in content:
        detail = "The mail has neither a subject nor a text; whoever gets it cannot tell what happened."
        help = 'For example: subject: "{device}", message: "{time}"'
        found.append(finding("empty-mail", ("message",), detail, help=help, severity=Severity.WARNING))
    if not recipients or subject is None or message is None:
        return None
    return EmailChannel(recipients=recipients, subject=subject, message=message)


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """What stands between the commas, without blanks around it, and where it begins, or the next comma is."""
    start = 0
    for entry in text.split(","):
        begun = entry.lstrip(" \t")
        yield start + len(entry) - len(begun), begun.rstrip(" \t")
        start += len(entry) + 1


def _reference_findings(text: str) -> Iterator[Finding]:
    try:
        references = scan(text)
    except GrammarError as error:
        yield finding(error.code, ("recipient",), error.reason, offset=error.offset, length=error.length)
        return
    for reference in references:
        if reference.secret:
            detail = "Who gets mail is shown wherever a delivery is; a secret could not stay one."
            help = "Write the address, or ${var.name} for one that differs between environments."
        else:
            detail = (
                f"Who gets mail is fixed when the callback is written; {{{reference.name}}} would leave it to a device."
            )
            help = "Write the address; the variable can stand in subject and message."
        yield finding(
            "variable-in-recipient", ("recipient",), detail, help=help, offset=reference.start, length=reference.length
        )


def _address_findings(text: str) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for offset, address in _entries(text):
        lower = address.lower()
        length = max(len(address), 1)
        reason = _why_no_address(address)
        if reason:
            help = "For example: recipient: ops@example.com"
            if any(sign in address for sign in "; \t\n"):
                help = "Several addresses are separated by commas: ops@example.com, lab@example.com"
            yield finding("bad-recipient", ("recipient",), reason, help=help, offset=offset, length=length)
        elif lower in seen:
            detail = f"{address} would get every mail twice."
            help = "Keep one of them."
            yield finding("recipient-twice", ("recipient",), detail, help=help, offset=offset, length=length)
        seen.setdefault(lower, address)


def _why_no_address(address: str) -> str:
    """What keeps a text from being an address that mail can be sent to; empty when nothing does."""
    local, at, domain = address.rpartition("@")
    match address:
        case "":
            return "An address is missing here."
        case _ if not address.isascii():
            return "An address is ASCII; a domain with other letters is written by its IDNA name (xn--…)."
        case _ if any(sign in address for sign in '<>"()'):
            return "An address stands alone: no name beside it, no angle brackets, quotes or comments."
        case _ if _ENCODED_WORD.search(address):
            return "An address holds no encoded word (=?…?q?…?=): some programs decode those, line ends and all."
        case _ if not at or "@" in local:
            return "An address is made of two parts with one @ between them, as in ops@example.com."
        case _ if len(address) > _MAX_ADDRESS:
            return f"An address has at most {_MAX_ADDRESS} characters."
        case _ if len(local) > _MAX_LOCAL:
            return f"In front of the @ there are at most {_MAX_LOCAL} characters."
        case _ if not _LOCAL.fullmatch(local):
            return "In front of the @ stand letters, digits and signs such as + _ and -, with single dots between."
        case _ if domain.startswith("["):
            return (
                "" if _is_literal(domain) else "In brackets stands an address, as in [192.0.2.1] or [IPv6:2001:db8::1]."
            )
        case _ if not _DOMAIN.fullmatch(domain):
            return "Behind the @ stands a host name: letters, digits and hyphens, with dots between."
        case _ if domain.rpartition(".")[2].isdigit():
            return "Behind the @ stands a host name; an IP address is written in brackets, as in [192.0.2.1]."
        case _:
            return ""


def _is_literal(domain: str) -> bool:
    """Whether this is an address literal (RFC 5321 section 4.1.3)."""
    inner = domain[1:-1]
    if not domain.endswith("]"):
        return False
    try:
        if inner[:5].lower() == "ipv6:":
            return IPv6Address(inner[5:]).scope_id is None
        IPv4Address(inner)
    except AddressValueError:
        return False
    return True
