"""The findings that files can raise: one code, one summary, one page of `reconciler explain` for each.

What a definition can break whatever door it comes through is listed in `model.definition`; the codes here are those of
files: of YAML, of the documents' shape, and of what refers to what.
"""

from collections.abc import Mapping
from typing import Final

from reconciler.diagnostics import Diagnostic, Severity, Span
from reconciler.model.finding import SUMMARIES as DEFINITION_SUMMARIES

__all__ = ["SUMMARIES", "codes", "diagnostic"]

SUMMARIES: Final[Mapping[str, str]] = {
    # files
    "project-not-found": "There is no project here",
    "file-not-found": "The file does not exist",
    "file-outside-project": "The file does not belong to the project",
    "file-unreadable": "The file cannot be read",
    "file-too-large": "The file is larger than any definition needs to be",
    "file-not-utf8": "The file is not UTF-8 text",
    "empty-file": "The file declares nothing",
    "bad-source-pattern": "This pattern cannot name files of the project",
    "no-file-matches": "A pattern of sources matches no file",
    # YAML
    "yaml-syntax": "The file is not valid YAML",
    "yaml-tab": "A tab stands where YAML takes only blanks",
    "yaml-control-character": "The file holds a character that YAML does not allow",
    "yaml-duplicate-key": "A key stands twice in one mapping",
    "yaml-key-not-text": "A key is not a text",
    "yaml-tag": "YAML tags are not supported",
    "yaml-bad-merge": "Only a mapping can be merged",
    "yaml-alias-loop": "A value contains itself",
    "yaml-alias-bomb": "Aliases repeat more than a file may hold",
    "yaml-too-deep": "Values are nested too deeply",
    "yaml-number-too-long": "A number has too many digits",
    # the shape of documents
    "unknown-kind": "The kind of this document is not known",
    "unknown-api-version": "The version of this document is not known",
    "misplaced-document": "This kind of document does not belong in this file",
    "unknown-key": "A key is not known here",
    "wrong-type": "A value has the wrong type",
    "wrong-value": "A value is not one of those allowed",
    "wrong-format": "A value does not have the expected form",
    "not-supported-yet": "This part of the file format is not supported yet",
    # what refers to what
    "duplicate-device-type": "Two documents declare the same device type",
    "unknown-environment": "The project has no such environment",
    "undefined-variable": "A variable is not defined for an environment",
    "bad-variable-reference": "A reference to a variable is not complete",
    "bad-variable-value": "The value of a variable would change the meaning of a template",
    "environment-variable-not-set": "An environment variable is not set",
    "unknown-override-target": "An override names something that is not declared",
    "bad-promotion-order": "An environment is promoted from one that cannot lead to it",
    # what has a new name, and what is gone
    "moved-still-declared": "A name that was given up is still declared",
    "moved-not-declared": "The new name of something is not declared",
    "moved-twice": "Two entries of moved contradict each other",
    "moved-in-steps": "Something moves in several steps",
    "moved-to-itself": "The old name and the new one are the same",
    "removed-still-declared": "Something is both removed and declared",
    "removed-and-moved": "Something is both removed and moved",
    "removed-twice": "A name stands twice among those removed",
    # policies
    "policy-violated": "A policy of the project is violated",
    "bad-policy": "A policy cannot be used",
    "bad-regular-expression": "A regular expression cannot be used",
    "duplicate-policy": "Two policies have the same name",
    "policy-never-applies": "A policy can never apply",
    # rewriting files
    "file-not-formattable": "The file cannot be formatted",
    "file-not-writable": "The file cannot be written",
    "file-changed-meanwhile": "The file was changed by somebody else",
    "import-file-exists": "A file of this name is there already",
    "import-outside-sources": "The file would not belong to the project",
    "import-of-reference": "A text would become a reference to a variable",
    "import-loses-variable": "A reference to a variable would be lost",
    "import-taken-away": "The environment takes away what the target holds",
    "import-not-possible": "The file does not allow this change",
}


_ALL: Final[Mapping[str, str]] = {**SUMMARIES, **DEFINITION_SUMMARIES}


def codes() -> frozenset[str]:
    """Every code that validating files can raise, those of definitions and of their two small languages included."""
    return frozenset(_ALL)


def diagnostic(
    code: str,
    detail: str,
    *,
    help: str = "",
    span: Span | None = None,
    file: str | None = None,
    related: tuple[tuple[str, Span], ...] = (),
    severity: Severity = Severity.ERROR,
) -> Diagnostic:
    """A finding under its registered summary."""
    return Diagnostic(code, _ALL[code], detail, help=help, span=span, file=file, related=related, severity=severity)
