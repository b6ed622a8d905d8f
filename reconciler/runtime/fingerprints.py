"""Fingerprints of secrets: they tell whether a secret still has the value that it had, and nothing else about it.

1. A fingerprint is HMAC-SHA256 (RFC 2104) over name, NUL and value, of which 64 bits are kept, as hex. Without the key
   nobody can try values against it, so that it may be stored, shown and compared.
2. The key is 32 random bytes in a file of the engine's data directory, made at its first start, for its owner alone. It
   never is in the database: a copy of that helps nobody to guess. Where the file is lost another key is made, and every
   secret looks changed once.
3. A value is read where the channels read it, when it is asked for, and forgotten at once. It is in no attribute, no
   answer and no message; what cannot be read has no fingerprint.
4. Reading may take a while (a secret may come from a command), so that it is done beside the event loop.
"""

import asyncio
import hmac
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from reconciler.errors import StoreError
from reconciler.model.definition import Content, JsonValue
from reconciler.model.resource import Key
from reconciler.model.revision import Revision
from reconciler.model.snapshot import SecretState

__all__ = ["KEY_BYTES", "Fingerprints", "fingerprint_key", "secret_uses"]

KEY_BYTES: Final = 32
_FILE: Final = "fingerprint.key"
_OWNER_ONLY: Final = 0o600
_HEX_DIGITS: Final = 16
_USES_KEPT: Final = 8
_MANY: Final = 500
_AT_ONCE: Final = 4  # threads that wait for secrets, as a program that prints them may take seconds
# The fields of a callback that are templates; the values of its headers are too.
_TEMPLATES: Final = ("url", "signature", "body", "linePattern", "subject", "message")
# As in `grammar.template`, which has parsed all of them; parsing 10,000 of them once more took 50 ms of 70.
_SECRET = re.compile(r"\$\{secret\.([A-Za-z_][A-Za-z0-9_]*)\}")


class Fingerprints:
    """Takes fingerprints under one key, of values that `secrets` gives by name; None when a secret has none.

    Without `secrets` nothing has a value.
    """

    __slots__ = ("_key", "_names", "_secrets", "_uses")

    def __init__(self, key: bytes, secrets: Callable[[str], str | None] | None) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self._secrets = secrets
        self._uses: OrderedDict[str, Mapping[str, Sequence[Key]]] = OrderedDict()
        self._names: Mapping[str, Sequence[str]] = {}  # by digest, for the definitions of the revision seen last

    async def taken(self, revision: Revision) -> Revision:
        """The revision with the fingerprints of all secrets that its definitions refer to, as of now."""
        return replace(revision, fingerprints=await self._now(await self._uses_in(revision)))

    async def states(self, revision: Revision) -> Mapping[str, SecretState]:
        """The secrets that a revision's definitions refer to, whoever owns those, as recorded with it and as of now.

        A secret that was not recorded is left out: whether it changed is not known.
        """
        uses = await self._uses_in(revision)
        now = await self._now(uses)
        recorded = revision.fingerprints
        return {name: SecretState(recorded[name], now[name], (*uses[name],)) for name in uses if name in recorded}

    async def moved(self, current: Revision, applied: Revision | None, *, owner: str) -> bool:
        """Whether a secret that definitions of `owner` refer to has another value than at its last applied revision."""
        recorded = {**current.fingerprints, **({} if applied is None else applied.fingerprints)}
        return any(
            recorded[name] != state.current and any(current.owned[key].owner == owner for key in state.callbacks)
            for name, state in (await self.states(current)).items()
        )

    async def _uses_in(self, revision: Revision) -> Mapping[str, Sequence[Key]]:
        """What `secret_uses` says, remembered for the revisions that planners ask about again and again."""
        uses = self._uses.get(revision.digest)
        if uses is None:
            # Of 10,000 definitions most are those of the revision before: 20 ms instead of 50, beside the loop.
            many = len(revision.owned) > _MANY
            told = partial(_names_and_uses, revision, known=self._names)
            self._names, found = (await asyncio.to_thread(told)) if many else told()
            uses = self._uses[revision.digest] = found
            if len(self._uses) > _USES_KEPT:
                self._uses.popitem(last=False)
        return uses

    async def _now(self, names: Collection[str]) -> Mapping[str, str | None]:
        if self._secrets is None or not names:
            return dict.fromkeys(names)
        parts = [[*names][start::_AT_ONCE] for start in range(min(_AT_ONCE, len(names)))]
        read = await asyncio.gather(*(asyncio.to_thread(self._all_of, part) for part in parts))
        return {name: fingerprint for part in read for name, fingerprint in part.items()}

    def _all_of(self, names: Iterable[str]) -> Mapping[str, str | None]:
        return {name: self._of(name) for name in names}

    def _of(self, name: str) -> str | None:
        value = None if self._secrets is None else self._secrets(name)
        if value is None:
            return None
        # What the environment holds need not be UTF-8; Python keeps such bytes as lone surrogates.
        text = f"{name}\0{value}".encode(errors="surrogatepass")
        return hmac.digest(self._key, text, "sha256").hex()[:_HEX_DIGITS]


def secret_names(revision: Revision, *, known: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """The secrets that each callback of a revision refers to, by the digest of its definition; `known` are others'."""
    definitions = (owned.definition for key, owned in revision.owned.items() if key.callback)
    return {
        each.digest: _names_in(each.content) if (names := known.get(each.digest)) is None else names
        for each in definitions
    }


def secret_uses(revision: Revision, *, names: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[Key]]:
    """The secrets that a revision's definitions refer to, by name, each with the callbacks that do, by key.

    `names` is what `secret_names` says of it.
    """
    uses: dict[str, dict[Key, None]] = {}
    for key, owned in revision.owned.items():
        if key.callback:  # a device type has no templates
            for name in names[owned.definition.digest]:
                uses.setdefault(name, {})[key] = None
    return {name: sorted(uses[name], key=lambda key: (key.device_type, key.callback)) for name in sorted(uses)}


def _names_and_uses(
    revision: Revision, *, known: Mapping[str, Sequence[str]]
) -> tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[Key]]]:
    names = secret_names(revision, known=known)
    return names, secret_uses(revision, names=names)


def _names_in(content: Content) -> Sequence[str]:
    found: dict[str, None] = {}
    for text in _templates_of(content):
        if isinstance(text, str) and "${" in text:
            found |= dict.fromkeys(_SECRET.findall(text))
    return (*found,)


def _templates_of(content: Content) -> Sequence[JsonValue]:
    headers = content.get("headers")
    values = headers.values() if isinstance(headers, Mapping) else ()
    return [*(content[name] for name in _TEMPLATES if name in content), *values]


def fingerprint_key(directory: Path, *, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """The key of the engine whose data are in `directory`; made, and on disk, if there is none.

    Raises:
        StoreError: it can neither be read nor made.
    """
    path = directory / _FILE
    try:
        key = path.read_bytes() if path.exists() else _made(path, random_bytes(KEY_BYTES))
    except OSError as error:
        raise StoreError(f"the key for fingerprints of secrets, {path}, can not be used: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"{path} is no key for fingerprints of secrets: it has {len(key)} bytes, not {KEY_BYTES}; bring back the"
            " one that was there, or take it away: with another key every secret looks changed once"
        )
    return key


def _made(path: Path, key: bytes) -> bytes:
    """Write the key under another name first: a crash leaves a whole key, or none."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, _OWNER_ONLY)
        file.write(key)
        file.flush()
        os.fsync(descriptor)
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key
