"""What `engine serve` makes of `--smtp`, `--mail-from` and the password."""

import pytest

from reconciler.cli.mail_options import mail_settings
from reconciler.runtime.channels.mail_settings import Login, MailSettings, Security

SENDER = "engine@example.com"
SET = {"RECONCILER_SMTP_PASSWORD": "pass word"}.get
NOT_SET = {"": ""}.get


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("smtp://localhost", MailSettings("localhost", 25, Security.OFFERED, SENDER)),
        ("SMTP://Mail.Example.com.:2525/", MailSettings("mail.example.com", 2525, Security.OFFERED, SENDER)),
        ("smtp+starttls://mail.example.com", MailSettings("mail.example.com", 587, Security.STARTTLS, SENDER)),
        ("smtps://[2001:db8::1]", MailSettings("2001:db8::1", 465, Security.AT_ONCE, SENDER)),
        (
            "smtps://me@mail.example.com:25",
            MailSettings("mail.example.com", 25, Security.AT_ONCE, SENDER, Login("me", "pass word")),
        ),
        (
            "smtp+starttls://me@example.com@mail.example.com",
            MailSettings("mail.example.com", 587, Security.STARTTLS, SENDER, Login("me@example.com", "pass word")),
        ),
        (
            "smtps://m%C3%BC%3A%2F%40@192.0.2.1",
            MailSettings("192.0.2.1", 465, Security.AT_ONCE, SENDER, Login("mü:/@", "pass word")),
        ),
    ],
)
def test_a_url_says_where_and_how(url: str, settings: MailSettings) -> None:
    assert mail_settings(url, SENDER, variable=SET) == (settings, ())


def test_without_both_there_is_no_mail() -> None:
    assert mail_settings(None, None, variable=SET) == (None, ())


@pytest.mark.parametrize(
    ("url", "sender", "codes"),
    [
        (None, SENDER, ["mail-incomplete"]),
        ("smtps://mail.example.com", None, ["mail-incomplete"]),
        ("mail.example.com:25", SENDER, ["smtp-bad-url"]),
        ("https://mail.example.com", SENDER, ["smtp-bad-url"]),
        ("smtps://", SENDER, ["smtp-bad-url"]),
        ("smtps://@mail.example.com", SENDER, ["smtp-bad-url"]),
        ("smtps://%00@mail.example.com", SENDER, ["smtp-bad-url"]),
        ("smtps://%FF@mail.example.com", SENDER, ["smtp-bad-url"]),
        ("smtps://mail.example.com:0", SENDER, ["smtp-bad-url"]),
        ("smtps://mail.example.com:65536", SENDER, ["smtp-bad-url"]),
        ("smtps://mail.example.com:٢", SENDER, ["smtp-bad-url"]),
        ("smtps://mail.example.com/inbox", SENDER, ["smtp-bad-url"]),
        ("smtps://mail.example.com?x=1", SENDER, ["smtp-bad-url"]),
        ("smtps://mäil.example.com", SENDER, ["smtp-bad-url"]),
        ("smtps://mail.example.com\r\nQUIT", SENDER, ["smtp-bad-url"]),
        ("smtp://mail.example.com", "Engine <engine@example.com>", ["mail-from-bad-address"]),
        ("smtp://mail.example.com", "a@b\nDATA", ["mail-from-bad-address"]),
        ("smtp://me@mail.example.com", SENDER, ["smtp-login-without-tls"]),
        ("ftp://mail.example.com", "engine", ["mail-from-bad-address", "smtp-bad-url"]),
        ("smtp://me@mail.example.com", "engine", ["mail-from-bad-address", "smtp-login-without-tls"]),
    ],
)
def test_what_can_not_be_used_is_found(url: str | None, sender: str | None, codes: list[str]) -> None:
    settings, found = mail_settings(url, sender, variable=SET)
    assert settings is None
    assert [finding.code for finding in found] == codes
    assert all(finding.help for finding in found)


def test_a_login_needs_a_password() -> None:
    settings, found = mail_settings("smtps://me@mail.example.com", SENDER, variable=NOT_SET)
    assert settings is None
    assert [finding.code for finding in found] == ["smtp-password-missing"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("smtps://me:hunter22@mail.example.com", "smtp-password-in-url"),
        ("smtp://me:hunter22@mail.example.com", "smtp-password-in-url"),
        ("smtps://:hunter22@mail.example.com", "smtp-password-in-url"),
        ("smtps://me:hunter22@mail.example.com/inbox", "smtp-bad-url"),
        ("smtps://me:hunter22/@mail.example.com", "smtp-bad-url"),
        ("me:hunter22@mail.example.com", "smtp-bad-url"),
    ],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str, code: str) -> None:
    settings, found = mail_settings(url, SENDER, variable=SET)
    assert settings is None
    assert [finding.code for finding in found] == [code]
    assert "hunter22" not in repr(found)


def test_a_password_is_not_shown() -> None:
    settings, _ = mail_settings("smtps://me@mail.example.com", SENDER, variable=SET)
    assert settings is not None
    assert "pass word" not in repr(settings)
