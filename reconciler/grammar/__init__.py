"""Two small languages, pure: payload configs and templates.

    payload     what the bytes of a message mean: text ⇄ fields, and the decoder they compile to
    escape      how a value becomes text, and what makes it harmless where it is put
    template    `{variable}` and `${secret.NAME}`: text to segments, rendering, and filling secrets in
    url, body   the places whose literals have to keep a shape of their own
    batch_url   the URL of a batch, and the pattern of its lines

Both raise `GrammarError` with a code, an offset and a sentence; whether a name exists is for their callers to say.
"""

from reconciler.grammar.batch_url import BatchUrl, parse_batch_url, parse_line_pattern
from reconciler.grammar.body import parse_form_body, parse_json_body
from reconciler.grammar.escape import Context, Json, escape, text_form
from reconciler.grammar.payload import Decoded, Field, PayloadConfig, Value, format_fields, problems
from reconciler.grammar.template import (
    CUSTOM_DATA,
    Rendered,
    Secret,
    StoredParts,
    Template,
    Variable,
    fill,
    from_parts,
    join,
    parse_header_value,
    parse_subject,
    parse_text_body,
    redact,
    to_parts,
)
from reconciler.grammar.url import UrlTemplate, parse_url

__all__ = [
    "CUSTOM_DATA",
    "BatchUrl",
    "Context",
    "Decoded",
    "Field",
    "Json",
    "PayloadConfig",
    "Rendered",
    "Secret",
    "StoredParts",
    "Template",
    "UrlTemplate",
    "Value",
    "Variable",
    "escape",
    "fill",
    "format_fields",
    "from_parts",
    "join",
    "parse_batch_url",
    "parse_form_body",
    "parse_header_value",
    "parse_json_body",
    "parse_line_pattern",
    "parse_subject",
    "parse_text_body",
    "parse_url",
    "problems",
    "redact",
    "text_form",
    "to_parts",
]
