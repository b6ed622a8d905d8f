"""Which headers a callback may set.

1. All standard request headers are refused, except Authorization (`callbacks.md` section 4.1). The operator's list is
   not published; taken here are the names of the HTTP Field Name Registry (IANA, http-fields) that have a meaning in a
   request: permanent, deprecated and obsolete alike, since servers and proxies may still act on the old ones.
2. Names of pure answers (ETag, Set-Cookie) do nothing in a request and are left to the author.
3. Whatever begins with `Proxy-` or `Sec-` is refused as a family: those names are for proxies and browsers to set.
4. A name is a token (RFC 9110 section 5.6.2) and is compared without regard to case (section 5.1).
"""

import re
from typing import Final

__all__ = ["FORBIDDEN_NAMES", "is_forbidden", "is_token"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_FAMILIES: Final = ("proxy-", "sec-")

FORBIDDEN_NAMES: Final = frozenset(
    name.lower()
    for name in (
        # RFC 9110, HTTP semantics: request context, content negotiation, conditions, ranges, representation data
        *("Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Connection"),
        *("Content-Encoding", "Content-Language", "Content-Length", "Content-Location", "Content-Range"),
        *("Content-Type", "Date", "Expect", "From", "Host", "If-Match", "If-Modified-Since", "If-None-Match"),
        *("If-Range", "If-Unmodified-Since", "Max-Forwards", "Range", "Referer", "TE", "Trailer", "Upgrade"),
        *("User-Agent", "Via"),
        # RFC 9111 caching, RFC 9112 HTTP/1.1, and what their predecessors defined
        *("Cache-Control", "Pragma", "Warning", "Close", "Keep-Alive", "MIME-Version", "Transfer-Encoding"),
        *("Content-Base", "Content-MD5", "Content-Version", "Derived-From", "URI", "HTTP2-Settings"),
        # Cookies (RFC 6265, RFC 2965), origins (RFC 6454) and the Fetch standard's preflight
        *("Cookie", "Cookie2", "Origin", "Access-Control-Request-Headers", "Access-Control-Request-Method"),
        *("Last-Event-ID", "Ping-From", "Ping-To", "Upgrade-Insecure-Requests", "DNT"),
        # Digests and signatures (RFC 9530, RFC 9421, RFC 3230), proofs and certificates (RFC 9449, RFC 9440)
        *("Content-Digest", "Repr-Digest", "Want-Content-Digest", "Want-Repr-Digest", "Digest", "Want-Digest"),
        *("Signature", "Signature-Input", "Accept-Signature", "DPoP", "Client-Cert", "Client-Cert-Chain", "Hobareg"),
        *("Include-Referred-Token-Binding-ID", "OSCORE"),
        # On the way: forwarding, loops, tunnels, early data, priorities, alternatives, tracing
        *("Forwarded", "CDN-Loop", "ALPN", "Alt-Used", "Capsule-Protocol", "Early-Data", "Priority", "Prefer"),
        *("Surrogate-Capability", "Traceparent", "Tracestate", "Content-Disposition", "Link"),
        # WebDAV and its family (RFC 4918, 3253, 3648, 4437, 5323, 6638, 7809), Atom, push, Memento, SOAP, OData, OSLC
        *("Depth", "Destination", "If", "Lock-Token", "Overwrite", "Timeout", "Status-URI", "Label"),
        *("Ordering-Type", "Position", "Apply-To-Redirect-Ref", "If-Schedule-Tag-Match", "Schedule-Reply"),
        *("CalDAV-Timezones", "SLUG", "TTL", "Topic", "Urgency", "Accept-Datetime", "SoapAction"),
        *("OData-EntityId", "OData-Isolation", "OData-MaxVersion", "OData-Version", "Isolation"),
        *("OSLC-Core-Version", "Configuration-Context", "EDIINT-Features", "AMP-Cache-Transform"),
        *("Repeatability-Client-ID", "Repeatability-First-Sent", "Repeatability-Request-ID"),
        # Negotiation and extensions of the nineties (RFC 2295, 3229, 2774, 2227, 2324, PEP, PICS, OPS)
        *("A-IM", "Accept-Features", "Negotiate", "Accept-Additions", "Meter", "Man", "C-Man", "Opt", "C-Opt"),
        *("Ext", "C-Ext", "PEP", "C-PEP", "PEP-Info", "C-PEP-Info", "Protocol-Request", "Protocol-Query"),
        *("Method-Check", "Referer-Root", "GetProfile", "Content-ID", "Content-Script-Type", "Content-Style-Type"),
    )
)
"""The standard request headers, in lower case."""


def is_token(name: str) -> bool:
    """Whether a text can be the name of a header at all."""
    return _TOKEN.fullmatch(name) is not None


def is_forbidden(name: str) -> bool:
    """Whether a header belongs to the protocol, and not to the author of a callback."""
    lower = name.lower()
    return lower in FORBIDDEN_NAMES or lower.startswith(_FORBIDDEN_FAMILIES)
