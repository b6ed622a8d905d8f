"""Who changed what: an event for each publication, replay, exchange of tokens or certificate, and refused login.

1. The events go to the logger `reconciler.audit`, so that they stand in the ordinary log unless they are given a file
   of their own.
2. Who is the name of a token and the address it came from. `by` is what the publisher says of itself. What is numbers,
   digests, kinds: never contents, never a token, never a query.
3. A change is told once it is durable. Whoever writes the log must not be able to stop a change.
"""

import logging
from collections import Counter
from collections.abc import Iterable

from reconciler.model.revision import Revision
from reconciler.runtime.api.tokens import Scope, Token

__all__ = ["AUDIT_LOGGER", "certificate_replaced", "login_refused", "published", "replayed", "tokens_replaced"]

AUDIT_LOGGER = "reconciler.audit"

_log = logging.getLogger(AUDIT_LOGGER)


def published(revision: Revision, *, token: str, peer: str) -> None:
    """A revision became current: by apply, rollback or import, as `via` says."""
    publication = revision.publication
    _log.info(
        "audit.published",
        extra={
            "token": token,
            "peer": peer,
            "revision": revision.number,
            "digest": revision.digest,
            "owner": revision.owner,
            "via": publication.via,
            "plan": publication.plan,
            "by": publication.by,
            "commit": publication.commit,
            **{
                f"changes_{kind}": count
                for kind, count in sorted(Counter(kind for kind, _ in revision.changes).items())
            },
        },
    )


def replayed(count: int, *, named: str, token: str, peer: str) -> None:
    """Finished deliveries are sent again; `named` says whether by their ids or by what they have in common."""
    _log.info("audit.replayed", extra={"token": token, "peer": peer, "deliveries": count, "named": named})


def tokens_replaced(before: Iterable[Token], after: Iterable[Token]) -> None:
    """Other tokens open doors from now on; a token with other scopes counts as another one."""
    old, new = set(before), set(after)
    _log.info(
        "audit.tokens",
        extra={
            "added": ",".join(sorted(_described(token) for token in new - old)),
            "removed": ",".join(sorted(_described(token) for token in old - new)),
            "tokens": len(new),
        },
    )


def certificate_replaced(file: str) -> None:
    """The doors show another certificate from now on."""
    _log.info("audit.certificate", extra={"file": file})


def login_refused(*, reason: str, door: str, peer: str, token: str, untold: int) -> None:
    """A door stayed shut. `token` names one that lacks the scope; `untold` counts those before that were not told."""
    _log.warning(
        "audit.login-refused",
        extra={"reason": reason, "door": door, "peer": peer, "token": token, "untold": untold},
    )


def _described(token: Token) -> str:
    return f"{token.name}({'+'.join(scope for scope in Scope if scope in token.scopes)})"
