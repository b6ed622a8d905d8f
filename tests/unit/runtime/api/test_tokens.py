import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.runtime.api.tokens import Scope, Token, Tokens, hash_token, new_token, read_tokens

CLEAR = new_token(bytes(range(32)))
HASH = hash_token(CLEAR)
OTHER = hash_token(new_token(bytes(32)))


def read(text: str) -> Tokens:
    tokens, problems = read_tokens(text)
    assert problems == ()
    return tokens


def reasons(text: str) -> list[tuple[int, str]]:
    _, problems = read_tokens(text)
    return [(problem.line, problem.reason) for problem in problems]


@given(st.binary(min_size=32, max_size=32))
def test_a_token_is_a_prefix_and_43_characters_that_need_no_quoting(random_bytes: bytes) -> None:
    token = new_token(random_bytes)

    assert token.startswith("rk_")
    assert len(token) == 3 + 43
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_tokens_are_made_of_32_random_bytes_and_nothing_less() -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        new_token(bytes(16))


@given(st.binary(min_size=32, max_size=32), st.sets(st.sampled_from(Scope), min_size=1))
def test_a_line_that_was_written_is_read_back(random_bytes: bytes, scopes: set[Scope]) -> None:
    clear = new_token(random_bytes)
    token = Token("ci", hash_token(clear), frozenset(scopes))

    assert read(f"{token}\n").token_of(f"Bearer {clear}".encode()) == token


def test_comments_blank_lines_line_ends_and_the_order_of_fields_do_not_matter() -> None:
    tokens = read(f"\ufeff# tokens of cold-chain\r\n\r\n  {HASH} name=ci scopes=apply,read   # the pipeline\r\n")

    assert tokens.token_of(f"Bearer {CLEAR}".encode()) == Token("ci", HASH, frozenset({Scope.READ, Scope.APPLY}))


@pytest.mark.parametrize(
    "header",
    [
        f"bearer {CLEAR}",
        f"BEARER   {CLEAR} ",
    ],
)
def test_the_scheme_is_read_without_regard_to_case_and_blanks(header: str) -> None:
    assert read(f"{HASH} scopes=read name=ci").token_of(header.encode()) is not None


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        CLEAR.encode(),
        f"Basic {CLEAR}".encode(),
        f"Bearer {CLEAR[:-1]}".encode(),
        f"Bearer {CLEAR}x".encode(),
        f"Bearer {HASH}".encode(),
        f"Bearer {CLEAR} {CLEAR}".encode(),
        b"Bearer \xff\x00",
    ],
)
def test_nothing_but_the_token_itself_opens_a_door(header: bytes | None) -> None:
    assert read(f"{HASH} scopes=read name=ci").token_of(header) is None


def test_an_empty_file_opens_nothing() -> None:
    assert len(read("# none yet\n")) == 0


def test_every_line_that_breaks_a_rule_is_reported_and_the_others_are_read() -> None:
    text = "\n".join(
        (
            f"{HASH} scopes=read name=ci",
            "sha256:abc scopes=read name=a",
            f"{OTHER} scopes=read,admin name=b",
            f"{OTHER} scopes= name=c",
            f"{OTHER} scopes=read",
            f"{OTHER} scopes=read name=d expires=2027",
            f"{OTHER} scopes=read name=e name=f",
            f"{HASH} scopes=apply name=g",
            f"{OTHER} scopes=read name=ci",
            f"{OTHER.upper()} scopes=read name=h",
        )
    )
    tokens, problems = read_tokens(text)

    assert len(tokens) == 1
    assert [problem.line for problem in problems] == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_token_in_clear_is_recognised_and_never_repeated() -> None:
    ((line, reason),) = reasons(f"{CLEAR} scopes=read name=ci")

    assert line == 1
    assert "only its hash" in reason
    assert CLEAR not in reason


@given(st.text())
def test_no_text_breaks_the_reader_and_no_problem_repeats_it(text: str) -> None:
    for _, reason in reasons(f"x{text}"):
        assert reason in {
            "A line starts with sha256: and the 64 lower-case hex digits of the token's hash.",
            "This is a token itself. The file keeps only its hash; take the token out and replace it by a new one.",
        }


def test_neither_a_table_of_tokens_nor_a_token_shows_what_opens_doors() -> None:
    tokens = read(f"{HASH} scopes=read name=ci")

    assert CLEAR not in repr(tokens)
    assert CLEAR not in repr(tokens.token_of(f"Bearer {CLEAR}".encode()))
