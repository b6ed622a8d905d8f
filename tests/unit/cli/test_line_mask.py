"""Lines of files as anybody may see them: credentials in clear are starred, and every column stays."""

import pytest

from reconciler.cli.render.line_mask import masked_in_place, masked_lines

T = "s3cret-T0ken"
S = "*" * len(T)


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer {}",
        "    authorization:   {}",
        '  "Authorization":"Basic {}"',
        "Authorization : 'Token {}'  # ours",
        '{{"headers": {{"Authorization": "Token {}", "X-Other": "stays"}}}}',
        "headers: {{Authorization: Token {}, X-Other: stays}}",
        "headers: {{X-Other: '${{var.a}}', AUTHORIZATION: {}}}",
        '"Authorization": "Token {}',
        "url: https://{}@${{var.host}}/a",
        "url: https://ada:{}@example.com/{{device}}",
        "body: 'the header was Bearer {}, twice basic {}'",
        "- https://a:{}@b/ and Authorization: {}",
    ],
)
def test_what_is_clear_is_starred_in_its_place(line: str) -> None:
    assert masked_in_place(line.format(*[T] * 9)) == line.format(*[S] * 9)


def test_a_plain_value_goes_up_to_the_end_of_its_line() -> None:
    line = 'Authorization: Digest username="ada", response=x{y}, z'
    assert masked_in_place(line) == "Authorization: Digest " + "*" * len('username="ada", response=x{y}, z')


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer ${secret.INGEST_TOKEN}",
        "Authorization: ${var.scheme} ${secret.INGEST_TOKEN}",
        'headers: {Authorization: "Bearer ${secret.T}", X-Other: stays}',
        "headers: {Authorization: Bearer ${secret.T}, X-Other: stays}",
        "Authorization: >-",
        "Authorization:",
        "X-Authorization: visible",
        "# basic callbacks: a bearer of news",
        "url: https://${secret.KEY}@example.com/{device}",
        "url: https://ada:${secret.KEY}@example.com/{device}",
    ],
)
def test_what_tells_nothing_stays(line: str) -> None:
    assert masked_in_place(line) == line


def test_a_value_below_its_key_is_starred_to_its_end() -> None:
    text = f"""\
headers:
  Authorization: >-
    Token
    {T}

    {T}
  X-Other: stays
  Authorization:
    {T}
  Authorization: !!str
    ${{secret.T}}
url: http://a/"""
    assert "\n".join(masked_lines(text.split("\n"))) == text.replace(T, S).replace("    Token\n", "    *****\n")
