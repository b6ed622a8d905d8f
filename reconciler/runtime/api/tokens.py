"""Who may do what: bearer tokens (RFC 6750), kept as hashes.

A token file has one token a line; blank lines and what follows a `#` are ignored:

    sha256:<64 hex digits> scopes=read,apply name=ci

1. A token is `rk_` and 256 random bits in base64url. Whoever reads the file, a log or our memory cannot make it from
   its hash, so one round of SHA-256 is enough: there is nothing to guess that stretching would slow down.
2. A header is hashed first and looked up by its hash. How long that takes tells something about hashes, which are no
   secret, and nothing about tokens: no comparison ever sees a token in clear.
3. Hashing takes 1.3 us. Where whole heads of accepted requests are remembered anyway (`shortcut`), the hash is
   remembered with them (`digest_of`), and looked up each time; nothing else remembers a header.
4. A line that breaks a rule is reported by number, never shown: it may hold a token in clear by mistake.
5. Tokens may be replaced while the engine runs. From then on only the new ones open doors, and whoever waits behind a
   door with one that is gone is told.
"""

import asyncio
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

__all__ = ["Scope", "Token", "TokenProblem", "Tokens", "digest_of", "hash_token", "new_token", "read_tokens"]

_PREFIX = "rk_"
_RANDOM_BYTES = 32
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Scope(StrEnum):
    """What a token allows: to look, to change what the engine does, to send messages."""

    READ = "read"
    APPLY = "apply"
    INGEST = "ingest"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the file knows it; `str` is its line in the file."""

    name: str
    hash: str
    scopes: frozenset[Scope]

    def __str__(self) -> str:
        scopes = ",".join(scope for scope in Scope if scope in self.scopes)
        return f"{self.hash} scopes={scopes} name={self.name}"


@dataclass(frozen=True, slots=True)
class TokenProblem:
    """What is wrong with a line of a token file; `line` counts from 1."""

    line: int
    reason: str


class Tokens:
    """The tokens that open doors, in the order of the file."""

    __slots__ = ("_by_digest", "_waiting")

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._by_digest = {_digest(token): token for token in tokens}
        self._waiting: set[asyncio.Event] = set()

    def __len__(self) -> int:
        return len(self._by_digest)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._by_digest.values())

    def replace(self, others: "Tokens") -> None:
        """From now on these are the tokens that open doors."""
        self._by_digest = others._by_digest
        for replaced in self._waiting:
            replaced.set()

    def allow(self, token: Token, scope: Scope) -> bool:
        """Whether a token that was shown some time ago still opens doors of this scope."""
        now = self._by_digest.get(_digest(token))
        return now is not None and scope in now.scopes

    async def withdrawn(self, token: Token, scope: Scope) -> None:
        """Wait until a token opens doors of this scope no more."""
        replaced = asyncio.Event()
        self._waiting.add(replaced)
        try:
            while self.allow(token, scope):
                replaced.clear()
                await replaced.wait()
        finally:
            self._waiting.discard(replaced)

    def token_of(self, authorization: bytes | None) -> Token | None:
        """The token that a request's Authorization header carries; None when there is none that we know."""
        return self.token_of_digest(digest_of(authorization))

    def token_of_digest(self, digest: bytes | None) -> Token | None:
        """The same for what `digest_of` the header gave."""
        return None if digest is None else self._by_digest.get(digest)


def digest_of(authorization: bytes | None) -> bytes | None:
    """The hash of the bearer token in an Authorization header; None when there is none."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    return sha256(token.strip(b" ")).digest()


def _digest(token: Token) -> bytes:
    return bytes.fromhex(token.hash.removeprefix("sha256:"))


def new_token(random_bytes: bytes) -> str:
    """A token in clear, to be shown once; `random_bytes` are 32 bytes from the system's source of secrets."""
    if len(random_bytes) != _RANDOM_BYTES:
        raise ValueError(f"a token is made of {_RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    return _PREFIX + urlsafe_b64encode(random_bytes).rstrip(b"=").decode()


def hash_token(token: str) -> str:
    """The form of a token that may be kept."""
    return f"sha256:{sha256(token.encode()).hexdigest()}"


def read_tokens(text: str) -> tuple[Tokens, tuple[TokenProblem, ...]]:
    """The tokens of a file, and what is wrong with the lines that hold none."""
    tokens: dict[str, Token] = {}
    names: dict[str, int] = {}
    problems: list[TokenProblem] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        token = _read_line(words)
        if isinstance(token, str):
            problems.append(TokenProblem(number, token))
        elif token.hash in tokens:
            problems.append(TokenProblem(number, f"This token is there already, as “{tokens[token.hash].name}”."))
        elif token.name in names:
            problems.append(TokenProblem(number, f"Line {names[token.name]} has this name already."))
        else:
            tokens[token.hash] = token
            names[token.name] = number
    return Tokens(tokens.values()), tuple(problems)


def _read_line(words: list[str]) -> Token | str:
    """The token of a line, or the sentence that says why there is none."""
    first, *rest = words
    if first.startswith(_PREFIX):
        return "This is a token itself. The file keeps only its hash; take the token out and replace it by a new one."
    if not _HASH.fullmatch(first):
        return "A line starts with sha256: and the 64 lower-case hex digits of the token's hash."
    fields: dict[str, str] = {}
    for word in rest:
        field, equals, value = word.partition("=")
        if not equals or field not in ("scopes", "name") or field in fields:
            return "Behind the hash stand scopes=… and name=…, once each, without blanks in them."
        fields[field] = value
    known = frozenset(Scope)
    scopes = frozenset(fields.get("scopes", "").split(","))
    if not scopes <= known:
        return f"scopes= takes one or more of {', '.join(Scope)}, with commas between."
    if not _NAME.fullmatch(fields.get("name", "")):
        return "name= takes up to 64 letters, digits, dots, hyphens and underscores."
    return Token(fields["name"], first, frozenset(scope for scope in Scope if scope in scopes))
