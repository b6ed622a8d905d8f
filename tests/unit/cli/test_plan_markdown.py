"""The comment on a pull request."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from reconciler.cli.render.plan_markdown import LIMIT, marker, plan_as_markdown, size
from reconciler.cli.render.plan_words import Commands
from reconciler.codec.canonical import define
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.plan import Change, Collision, Create, Delete, Drift, FieldChange, Plan, Rename, Resecret, Update
from reconciler.model.resource import Key
from reconciler.model.snapshot import Blame
from tests.builders import TELEMETRY, a_definition, a_plan

COMMANDS = Commands("reconciler apply plan.json", "reconciler apply plan.json --over-limits d1")
TOO_MANY = Diagnostic("too-many-changes", "The plan changes more than the project's limits allow", "10 of 12.")
ORIGIN = Span("device-types/tracker.yaml", 7, 1, 2, "x")


def comment(plan: Plan, *, refused_by: Sequence[Diagnostic] = ()) -> str:
    return plan_as_markdown(plan, refused_by=refused_by, commands=COMMANDS)


def creates(count: int, *, body: str = "a body\n") -> list[Change]:
    keys = [Key("tracker", f"callback-{number:05}") for number in range(count)]
    return [Create(key, define(key, {"url": "http://h/{device}", "body": body}), ORIGIN) for key in keys]


def deletes(count: int) -> list[Change]:
    keys = [Key("old", f"callback-{number:05}") for number in range(count)]
    return [Delete(key, define(key, {"url": "http://h/{device}", "body": "{}\n"})) for key in keys]


def test_a_small_plan_is_shown_whole_the_gravest_first() -> None:
    before, after = a_definition(), a_definition(content={"url": "https://other.example.com/"})
    fields = (FieldChange(("url",), "https://a.example.com/", "https://other.example.com/"),)
    delete = Delete(Key("tracker", "old"), define(Key("tracker", "old"), {"url": "http://h/"}))
    secret = Resecret(TELEMETRY, "INGEST", "f1", "f2", (TELEMETRY,))
    plan = a_plan(*creates(1), Update(TELEMETRY, before, after, fields, ORIGIN), delete, secret)
    assert comment(plan) == (
        "<!-- reconciler plan: dev -->\n"
        "### Plan for `dev`\n"
        "\n"
        "**1 to create, 1 to update, 1 to delete, 1 changed secret** in `dev` "
        "(`http://127.0.0.1:8460`, revision 3), for the project `cold-chain`.\n"
        "\n"
        "| What it does, the gravest first | Changes |\n"
        "|:--|--:|\n"
        "| Deleted | 1 |\n"
        "| Sent elsewhere | 1 |\n"
        "| Secrets and credentials | 1 |\n"
        "| New or switched on | 1 |\n"
        "\n"
        "#### Deleted (1)\n"
        "\n"
        "**delete** `tracker/old`\n"
        "\n"
        "```diff\n"
        "- url: http://h/\n"
        "```\n"
        "\n"
        "#### Sent elsewhere (1)\n"
        "\n"
        "**update** `tracker/telemetry` · `device-types/tracker.yaml:7`\n"
        "\n"
        "```diff\n"
        "- url: https://a.example.com/\n"
        "+ url: https://other.example.com/\n"
        "```\n"
        "\n"
        "#### Secrets and credentials (1)\n"
        "\n"
        "**resecret** `INGEST` · Its value is another one than when it was last published. · "
        "Used by `tracker/telemetry`.\n"
        "\n"
        "<details>\n"
        "<summary>New or switched on (1)</summary>\n"
        "\n"
        "**create** `tracker/callback-00000` · `device-types/tracker.yaml:7`\n"
        "\n"
        "```diff\n"
        "+ url: http://h/{device}\n"
        "+ body:\n"
        "+   a body\n"
        "```\n"
        "\n"
        "</details>\n"
        "\n"
        "To apply it:\n"
        "\n"
        "```sh\n"
        "reconciler apply plan.json\n"
        "```\n"
        "\n"
        "Digest `d1`\n"
    )


def test_an_empty_plan_is_a_sentence() -> None:
    assert comment(a_plan()) == (
        "<!-- reconciler plan: dev -->\n"
        "### Plan for `dev`\n"
        "\n"
        "**Nothing to change**: `dev` (`http://127.0.0.1:8460`, revision 3) is as declared.\n"
        "\n"
        "Digest `d1`\n"
    )


def test_what_is_no_change_has_sections_of_its_own() -> None:
    old = Key("tracker", "old")
    plan = replace(
        a_plan(),
        drift=(Drift(old, None, define(old, {"url": "u"}), (), True, Blame("ana", 4, None), "appeared"),),
        left=(Key("legacy"),),
        renames=(Rename(old, TELEMETRY, "moved:\n  - {from: old, to: telemetry}", "t.yaml"),),
        collisions=(Collision(TELEMETRY, "fleet", None),),
    )
    shown = comment(plan)
    assert (
        "Beside that: 1 definition changed behind the files, 1 likely rename, 1 definition held by others, "
        "1 definition left alone.\n"
    ) in shown
    assert "**appeared** `tracker/old` · by `ana` in revision 4 · The plan undoes it.\n" in shown
    assert "`tracker/old` → `tracker/telemetry`, in `t.yaml`:\n\n```yaml\nmoved:\n  - {from: old" in shown
    assert "- `tracker/telemetry` · held by the project `fleet`\n" in shown
    assert "- `legacy`\n" in shown
    assert "To apply it" not in shown


def test_a_refused_plan_says_so_first_and_ends_with_the_command_that_passes_the_limits() -> None:
    shown = comment(a_plan(*creates(1)), refused_by=(TOO_MANY,))
    assert shown.startswith("<!-- reconciler plan: dev -->\n### Plan for `dev`\n\n**Refused**: 1 finding against it")
    assert "```text\nerror[too-many-changes]: The plan changes" in shown
    assert shown.endswith("```sh\nreconciler apply plan.json --over-limits d1\n```\n\nDigest `d1`\n")
    other = plan_as_markdown(a_plan(*creates(1)), refused_by=(TOO_MANY,), commands=Commands("reconciler apply -e dev"))
    assert "reconciler apply" not in other, "what no option passes is offered no command"


@pytest.mark.parametrize("count", [100, 1_000, 10_000])
def test_a_large_plan_fits_counts_everything_and_shows_the_gravest_in_full(count: int) -> None:
    shown = comment(a_plan(*creates(count), *deletes(20)))
    assert 0.9 * LIMIT < size(shown) <= LIMIT or count == 100
    assert f"**{count:,} to create, 0 to update, 20 to delete**" in shown
    assert f"| New or switched on | {count:,} |" in shown
    assert f"<summary>New or switched on ({count:,})</summary>" in shown
    assert all(f"**delete** `old/callback-{number:05}`\n\n```diff\n" in shown for number in range(20))
    assert shown.endswith("Digest `d1`\n")


def test_what_has_no_room_is_named_and_what_has_no_name_is_counted() -> None:
    shown = comment(a_plan(*creates(10_000)))
    in_full = shown.count("**create** `")
    (names,) = (line for line in shown.splitlines() if line.startswith("**create**, without details: "))
    named = names.count("`") // 2
    assert in_full > 100
    assert named > 500
    assert names.endswith(f", {10_000 - in_full - named:,} more.")


def test_one_enormous_change_leaves_room_for_the_others() -> None:
    huge = Create(TELEMETRY, define(TELEMETRY, {"url": "x" * 99_000, "body": "long line\n" * 9_000}), ORIGIN)
    shown = comment(a_plan(huge, *deletes(3)))
    assert size(shown) <= LIMIT
    assert "… (and 98,0" in shown
    assert " lines more.\n" in shown
    assert shown.count("**delete** `") == 3


def test_every_section_leaves_room_for_the_others() -> None:
    keys = [Key(f"type-{number}", "callback") for number in range(5_000)]
    definitions = [define(key, {"url": "http://h/"}) for key in keys]
    plan = replace(
        a_plan(*creates(5_000)),
        drift=tuple(Drift(each.key, each, None, (), False, None, "vanished") for each in definitions),
        left=tuple(keys),
        renames=tuple(Rename(key, key, "moved:\n  - {}", "t.yaml") for key in keys),
        collisions=tuple(Collision(key, "fleet", None) for key in keys),
    )
    shown = comment(plan, refused_by=[replace(TOO_MANY, detail=str(key)) for key in keys])
    assert size(shown) <= LIMIT
    assert shown.count("\n#### ") == 5
    assert shown.count("\nAnd ") == 5, "each says how much it left out"


def test_a_file_whose_name_can_not_be_copied_is_not_offered_for_copying() -> None:
    for name in ("a\x1bb", "x" * 3_000):
        shown = plan_as_markdown(a_plan(*creates(1)), commands=Commands(f"reconciler apply {name}"))
        assert "(The command can not be shown" in shown


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ("eu-west-1", "<!-- reconciler plan: eu-west-1 -->"),
        ("a--b-", "<!-- reconciler plan: a%2D-b%2D -->"),
        ("--> <b>", "<!-- reconciler plan: %2D-%3E%20%3Cb%3E -->"),
        ("prod ü", "<!-- reconciler plan: prod%20%C3%BC -->"),
    ],
)
def test_the_marker_is_one_comment_whatever_the_environment_is_called(environment: str, line: str) -> None:
    assert marker(environment) == line


def test_line_breaks_count_twice_and_characters_by_their_bytes() -> None:
    assert size("ä\n日") == 2 + 2 + 3
