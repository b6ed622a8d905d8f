"""From values to the requests of a callback, channel by channel (`callbacks.md` section 4). Pure.

1. A form body gets the rendered query of the URL in front of it; an empty one equals the query (section 4.1).
2. A batch callback makes one line; where it goes is rendered already, for nothing else depends on a message
   (section 4.2).
3. An e-mail callback makes one mail for each recipient, and each is a delivery of its own (section 4.3).

Everything that does not depend on a message is prepared once, when the callback is compiled.
"""

from collections.abc import Callable
from functools import partial
from typing import assert_never

from reconciler.grammar.template import Rendered, Template, join
from reconciler.model.definition import body_kind
from reconciler.model.delivery import BatchLine, DeliveryId, HttpRequest, Mail, Request, Signature
from reconciler.model.resource import BatchUrlChannel, Channel, EmailChannel, Method, UrlChannel
from reconciler.runtime.values import Values

__all__ = ["RequestBuilder", "request_builders", "variables_used"]

RequestBuilder = Callable[[Values, DeliveryId], Request]
"""What a delivery of this id promises, given a message's variables."""


def request_builders(channel: Channel) -> tuple[RequestBuilder, ...]:
    """One for each delivery that a message makes; all of them lead to the same endpoint."""
    match channel:
        case UrlChannel():
            return (_http_builder(channel),)
        case BatchUrlChannel():
            return (_line_builder(channel),)
        case EmailChannel():
            return tuple(_mail_builder(channel, recipient) for recipient in channel.recipients)
        case _:
            assert_never(channel)


def variables_used(channel: Channel) -> frozenset[str]:
    """The names of all variables in the channel's templates."""
    match channel:
        case UrlChannel():
            templates = [channel.url.target, *(template for _, template in channel.headers)]
            if channel.body is not None:
                templates.append(channel.body)
        case BatchUrlChannel():
            templates = [channel.line_pattern]
        case EmailChannel():
            templates = [channel.subject, channel.message]
        case _:
            assert_never(channel)
    return frozenset[str]().union(*(template.names for template in templates))


def _http_builder(channel: UrlChannel) -> RequestBuilder:
    url = channel.url
    fixed = partial(HttpRequest, channel.method, url.scheme, url.host, url.port)
    target, headers = url.target.render, _headers_builder(channel)
    credentials, send_sni = _credentials(url.userinfo), channel.send_sni
    if channel.method is Method.GET:
        return lambda values, _: fixed(target(values), headers(values), credentials, None, send_sni)
    body = _body_builder(channel)
    if channel.signing_keys:
        keys = channel.signing_keys
        return lambda values, delivery: fixed(
            target(values), headers(values), credentials, body(values), send_sni, Signature(_message_id(delivery), keys)
        )
    return lambda values, _: fixed(target(values), headers(values), credentials, body(values), send_sni)


def _message_id(delivery: DeliveryId) -> str:
    """The delivery's, without the full stop that separates the parts of what is signed."""
    return f"{delivery.message}-{delivery.ordinal}"


def _credentials(userinfo: Template | None) -> Rendered | None:
    return None if userinfo is None else userinfo.render({})


def _headers_builder(channel: UrlChannel) -> Callable[[Values], tuple[tuple[str, Rendered], ...]]:
    own: tuple[tuple[str, Rendered], ...] = ()
    if channel.method is not Method.GET:
        own = (("Content-Type", channel.content_type),)
    if not any(template.names for _, template in channel.headers):
        constant = own + tuple((name, template.render({})) for name, template in channel.headers)
        return lambda values: constant
    return lambda values: own + tuple((name, template.render(values)) for name, template in channel.headers)


def _body_builder(channel: UrlChannel) -> Callable[[Values], Rendered]:
    body = channel.body or Template("", ())
    query = channel.url.query
    if query is None or body_kind(channel.content_type) != "form":
        return body.render
    if not body.text:
        return query.render
    return lambda values: join(query.render(values), "&", body.render(values))


def _line_builder(channel: BatchUrlChannel) -> RequestBuilder:
    url = channel.url
    fixed = partial(
        BatchLine,
        method=channel.method,
        scheme=url.scheme,
        host=url.host,
        port=url.port,
        path=url.path.render({}),
        before=url.before.render({}),
        after=url.after.render({}),
        credentials=_credentials(url.userinfo),
        send_sni=channel.send_sni,
    )
    line = channel.line_pattern.render
    return lambda values, _: fixed(line=line(values))


def _mail_builder(channel: EmailChannel, recipient: str) -> RequestBuilder:
    recipients, subject, text = channel.recipients, channel.subject.render, channel.message.render
    return lambda values, delivery: Mail(
        id=str(delivery),
        recipient=recipient,
        recipients=recipients,
        subject=subject(values),
        text=text(values),
    )
