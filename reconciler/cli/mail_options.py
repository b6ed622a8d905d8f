"""What `engine serve` makes of `--smtp`, `--mail-from` and the password.

1. A command line is visible to everybody on the machine, so that the password has an environment variable to itself. A
   URL that holds one is refused wherever it stands: what works in one place is soon written in the other.
2. No finding repeats a URL that holds an @: what is in front of it may be a password that was written wrong.
3. A login needs a URL that promises TLS. `smtp://` does not: it turns to TLS when the server offers it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote

from reconciler.diagnostics import Diagnostic
from reconciler.runtime.channels.mail_settings import DEFAULT_PORTS, Login, MailSettings, Security, is_address

__all__ = ["PASSWORD_VARIABLE", "mail_settings"]

PASSWORD_VARIABLE: Final = "RECONCILER_SMTP_PASSWORD"

# The last @ ends the login, so that a login may be an address.
_URL = re.compile(
    r"(?P<scheme>[A-Za-z+]+)://(?:(?P<login>[^/?\#]*)@)?"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?))(?::(?P<port>[0-9]{1,5}))?/?"
)
_NOT_IN_LOGIN = re.compile(r"[\x00-\x1f\x7f]")
_EXAMPLE: Final = "    export RECONCILER_SMTP_PASSWORD=…\n    reconciler engine serve --smtp "


def mail_settings(
    smtp: str | None, mail_from: str | None, *, variable: Callable[[str], str | None]
) -> tuple[MailSettings | None, Sequence[Diagnostic]]:
    """The mail server, None without one, and what is wrong with it; `variable` looks into the environment."""
    if smtp is None and mail_from is None:
        return None, ()
    if smtp is None or mail_from is None:
        return None, [_incomplete("--smtp" if smtp is None else "--mail-from")]
    found: list[Diagnostic] = []
    if not is_address(mail_from):
        found.append(_bad_sender(mail_from))
    read = _URL.fullmatch(smtp)
    scheme = read["scheme"].lower() if read is not None else ""
    if read is None or scheme not in set(Security) or not 0 < int(read["port"] or 1) < 65_536:
        return None, [*found, _bad_url(smtp)]
    security = Security(scheme)
    login: Login | None = None
    if read["login"] is not None:
        settled = _login(read["login"], security, variable(PASSWORD_VARIABLE))
        if isinstance(settled, Diagnostic):
            found.append(settled)
        else:
            login = settled
    if found:
        return None, found
    host = read["ipv6"] or read["host"].lower().removesuffix(".")
    return MailSettings(host, int(read["port"] or DEFAULT_PORTS[security]), security, mail_from, login), ()


def _login(text: str, security: Security, password: str | None) -> Login | Diagnostic:
    if ":" in text:
        return Diagnostic(
            "smtp-password-in-url",
            "The URL of the mail server holds a password",
            "Everybody on this machine can read the command line of a process, so --smtp takes the login alone.",
            f"Change the password, for it was seen; then give it in {PASSWORD_VARIABLE}:\n\n"
            f"{_EXAMPLE}{_with_tls(security)}://LOGIN@HOST --mail-from ADDRESS\n\n"
            "A colon that belongs to the login is written %3A.",
        )
    name = unquote(text)
    if not name or _NOT_IN_LOGIN.search(name) or "\ufffd" in name:
        return _bad_url("@")
    if security is Security.OFFERED:
        return Diagnostic(
            "smtp-login-without-tls",
            "A login to the mail server needs TLS",
            "smtp:// goes on without TLS when the server offers none, and whoever sits in between can see to that: the "
            "password would be theirs.",
            "Name the kind of TLS that the server has, STARTTLS or TLS at once:\n\n"
            "    reconciler engine serve --smtp smtp+starttls://LOGIN@HOST --mail-from ADDRESS\n"
            "    reconciler engine serve --smtp smtps://LOGIN@HOST --mail-from ADDRESS",
        )
    if password is None:
        return Diagnostic(
            "smtp-password-missing",
            "The password for the mail server is not set",
            f"--smtp names a login, and {PASSWORD_VARIABLE} is not set.",
            f"Set it, or leave the login out:\n\n{_EXAMPLE}{security}://LOGIN@HOST --mail-from ADDRESS",
        )
    return Login(name, password)


def _with_tls(security: Security) -> Security:
    return Security.STARTTLS if security is Security.OFFERED else security


def _incomplete(missing: str) -> Diagnostic:
    return Diagnostic(
        "mail-incomplete",
        "Mail needs a server and a sender",
        f"{missing} is not given. Without both the engine can not send a mail.",
        "Give both, or neither:\n\n"
        "    reconciler engine serve --smtp smtp+starttls://HOST --mail-from engine@example.com",
    )


def _bad_sender(text: str) -> Diagnostic:
    return Diagnostic(
        "mail-from-bad-address",
        "The sender of mails can not be read",
        f"--mail-from takes one address, ASCII and without a name, not “{text}”.",
        "Write it like this:\n\n    --mail-from engine@example.com",
    )


def _bad_url(text: str) -> Diagnostic:
    shown = "" if "@" in text else f", not “{text}”"
    return Diagnostic(
        "smtp-bad-url",
        "The URL of the mail server can not be read",
        f"--smtp takes smtp://HOST, smtp+starttls://HOST or smtps://HOST, each with LOGIN@ before the host and :PORT "
        f"behind it if need be{shown}.",
        "Write it like this; in a login %, / and # are written %25, %2F and %23:\n\n"
        "    --smtp smtps://mail.example.com:465",
    )
