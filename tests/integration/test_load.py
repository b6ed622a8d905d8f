"""Projects on disk: what is found, what is asked about, and what is handed on."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.codec.canonical import define
from reconciler.config.load import Loaded, load
from reconciler.config.project import load_project
from reconciler.config.scaffold import project_name, scaffold
from reconciler.grammar.template import fill
from reconciler.model.resource import Key, UrlChannel

TRACKER = Key("tracker")
TELEMETRY = Key("tracker", "telemetry")


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, and the current folder in it."""
    write(tmp_path, scaffold("cold-chain"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def codes(loaded: Loaded) -> list[str]:
    return [each.code for each in loaded.diagnostics]


class TestScaffold:
    def test_validates_as_it_is(self, project: Path) -> None:
        assert load(Path(), environ={}).diagnostics == ()

    def test_declares_one_callback_that_works(self, project: Path) -> None:
        loaded = load(Path(), environ={}, environment="dev")
        assert loaded.desired is not None
        assert list(loaded.desired.definitions) == [TRACKER, TELEMETRY]
        channel = loaded.callbacks[TELEMETRY].channel
        assert isinstance(channel, UrlChannel)
        url = channel.url.render({"device": "1C178"})
        assert fill(url, lambda name: name) == "http://127.0.0.1:9000/uplink/1C178"

    def test_names_the_schemas_it_brings(self, project: Path) -> None:
        for name in ("reconciler.yaml", "device-types/tracker.yaml"):
            first_line = (project / name).read_text().splitlines()[0]
            schema = first_line.removeprefix("# yaml-language-server: $schema=")
            assert ((project / name).parent / schema).is_file()

    @pytest.mark.parametrize(
        ("folder", "name"),
        [("cold-chain", "cold-chain"), ("Cold Chain!", "Cold-Chain"), ("", "project"), ("…", "project"), ("-x", "x")],
    )
    def test_takes_its_name_from_the_folder(self, folder: str, name: str) -> None:
        assert project_name(folder) == name
        assert f"name: {name}\n" in scaffold(name)["reconciler.yaml"]

    def test_takes_no_name_that_cannot_be_one(self) -> None:
        with pytest.raises(ValueError, match="not the name of a project"):
            scaffold("a: b")


class TestDesired:
    def test_is_given_for_the_chosen_environment_only(self, project: Path) -> None:
        assert load(Path(), environ={}).desired is None
        assert load(Path(), environ={}, environment="dev").desired is not None

    def test_is_given_without_a_choice_where_there_is_none(self, project: Path) -> None:
        write(project, {"reconciler.yaml": "apiVersion: reconciler/v1\nkind: Project\nname: p\nsources: ['*.yaml']\n"})
        write(project, {"t.yaml": "apiVersion: reconciler/v1\nkind: DeviceType\nname: t\n"})
        loaded = load(Path(), environ={})
        assert loaded.desired is not None
        assert loaded.desired.owner == "p"
        assert dict(loaded.desired.definitions) == {Key("t"): define(Key("t"), {})}

    def test_is_not_given_beside_an_error(self, project: Path) -> None:
        write(project, {"device-types/bad.yaml": "a: [\n"})
        loaded = load(Path(), environ={}, environment="dev")
        assert loaded.desired is None
        assert list(loaded.callbacks) == [TELEMETRY]

    def test_is_given_beside_a_warning(self, project: Path) -> None:
        text = (project / "reconciler.yaml").read_text().replace("[device-types", "[nothing/*.yaml, device-types")
        write(project, {"reconciler.yaml": text})
        loaded = load(Path(), environ={}, environment="dev")
        assert codes(loaded) == ["no-file-matches"]
        assert loaded.desired is not None

    def test_remembers_where_everything_was_declared(self, project: Path) -> None:
        desired = load(Path(), environ={}, environment="dev").desired
        assert desired is not None
        places = {key: (span.file, span.line, span.source) for key, span in desired.origins.items()}
        assert len(desired.origins) == len(desired.definitions)
        assert places == {
            TRACKER: ("device-types/tracker.yaml", 4, "name: tracker"),
            TELEMETRY: ("device-types/tracker.yaml", 9, "  telemetry:"),
        }

    def test_does_not_depend_on_order_or_comments(self, project: Path) -> None:
        before = load(Path(), environ={}, environment="dev").desired
        path = project / "device-types/tracker.yaml"
        head, callbacks = path.read_text().split("\ncallbacks:")
        lines = head.splitlines()
        path.write_text("callbacks:" + callbacks + "# moved\n" + "\n".join(reversed(lines)) + "\n")
        after = load(Path(), environ={}, environment="dev").desired
        assert before is not None
        assert after is not None
        assert before.definitions == after.definitions

    def test_differs_by_variable_and_override(self, project: Path) -> None:
        text = (project / "reconciler.yaml").read_text()
        prod = (
            '  prod:\n    target: {engine: "http://127.0.0.1:8461"}\n    variables: {host: {env: HOST}}\n'
            "    overrides: {tracker: {callbacks: {telemetry: {enabled: false}}}}\n"
        )
        write(project, {"reconciler.yaml": text + prod})
        loaded = load(Path(), environ={"HOST": "ingest.example.com"}, environment="prod")
        assert codes(loaded) == []
        callback = loaded.callbacks[TELEMETRY]
        assert not callback.enabled
        assert isinstance(callback.channel, UrlChannel)
        assert callback.channel.url.host == "ingest.example.com"
        assert load(Path(), environ={}, environment="dev").callbacks[TELEMETRY].enabled


PROD = """\
  prod:
    target: {engine: "http://127.0.0.1:8461"}
    variables: {host: ingest.example.com}
    overrides: OVERRIDES
"""
RENAMED = """\
moved: [{from: sensor, to: tracker}]
removed: [legacy]
"""


class TestMoved:
    def with_entries(self, project: Path, *, overrides: str = "{}") -> None:
        text = (project / "reconciler.yaml").read_text() + PROD.replace("OVERRIDES", overrides) + RENAMED
        tracker = (project / "device-types/tracker.yaml").read_text() + "moved: [{from: data, to: telemetry}]\n"
        write(project, {"reconciler.yaml": text, "device-types/tracker.yaml": tracker})

    def test_keys_are_whole(self, project: Path) -> None:
        self.with_entries(project)
        desired = load(Path(), environ={}, environment="dev").desired
        assert desired is not None
        assert desired.moved == {Key("sensor"): TRACKER, Key("tracker", "data"): TELEMETRY}
        assert desired.removed == {"legacy"}

    @pytest.mark.parametrize(
        ("overrides", "moved", "removed"),
        [
            ("{}", {Key("sensor"): TRACKER, Key("tracker", "data"): TELEMETRY}, frozenset({"legacy"})),
            ("{tracker: {callbacks: {telemetry: null}}}", {Key("sensor"): TRACKER}, frozenset({"legacy"})),
            ("{tracker: null}", {}, frozenset({"legacy", "tracker"})),
        ],
    )
    def test_what_an_environment_takes_away_is_gone_and_nothing_moves_there(
        self, project: Path, overrides: str, moved: Mapping[Key, Key], removed: frozenset[str]
    ) -> None:
        self.with_entries(project, overrides=overrides)
        desired = load(Path(), environ={}, environment="prod").desired
        assert desired is not None
        assert (desired.moved, desired.removed) == (moved, removed)

    def test_a_project_without_entries_has_none(self, project: Path) -> None:
        desired = load(Path(), environ={}, environment="dev").desired
        assert desired is not None
        assert (desired.moved, desired.removed) == ({}, frozenset())


class TestPolicies:
    def with_policy(self, project: Path, severity: str) -> Loaded:
        rule = f"{{name: https, severity: {severity}, require: {{scheme: https}}, message: Use https.}}"
        text = (project / "reconciler.yaml").read_text()
        write(project, {"reconciler.yaml": f"{text}policies: [{rule}]\n"})
        return load(Path(), environ={}, environment="dev")

    def test_one_that_is_violated_gives_nothing_to_apply(self, project: Path) -> None:
        loaded = self.with_policy(project, "error")
        assert codes(loaded) == ["policy-violated"]
        assert loaded.desired is None

    def test_one_that_only_warns_does(self, project: Path) -> None:
        loaded = self.with_policy(project, "warning")
        assert codes(loaded) == ["policy-violated"]
        assert loaded.desired is not None

    def test_what_is_violated_concerns_the_file_of_the_definition(self, project: Path) -> None:
        self.with_policy(project, "error")
        for path, found in (("device-types", ["policy-violated"]), ("reconciler.yaml", [])):
            assert codes(load(Path(), environ={}, paths=[Path(path)])) == found


class TestFiles:
    def test_all_that_were_read_are_listed(self, project: Path) -> None:
        assert load(Path(), environ={}).files == ("reconciler.yaml", "device-types/tracker.yaml")

    def test_names_begin_where_the_command_runs(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(project.parent)
        assert load(Path(project.name), environ={}).files == (
            f"{project.name}/reconciler.yaml",
            f"{project.name}/device-types/tracker.yaml",
        )

    def test_the_project_file_can_be_named_itself(self, project: Path) -> None:
        assert load(Path("reconciler.yaml"), environ={}).files == load(Path(), environ={}).files

    def test_one_that_matches_twice_is_read_once(self, project: Path) -> None:
        text = (project / "reconciler.yaml").read_text().replace("[device-types", "[device-types/*.yaml, device-types")
        write(project, {"reconciler.yaml": text})
        assert codes(load(Path(), environ={})) == []

    def test_hidden_ones_are_passed_over(self, project: Path) -> None:
        text = (project / "reconciler.yaml").read_text().replace("device-types/**/*.yaml", "'**/*.yaml'")
        write(project, {"reconciler.yaml": text, ".hidden/x.yaml": "a: [\n", "device-types/.y.yaml": "a: [\n"})
        assert load(Path(), environ={}).files == ("reconciler.yaml", "device-types/tracker.yaml")

    def test_a_folder_that_looks_like_a_file_is_reported(self, project: Path) -> None:
        (project / "device-types/folder.yaml").mkdir()
        assert codes(load(Path(), environ={})) == ["file-unreadable"]

    def test_a_folder_in_place_of_the_project_file(self, tmp_path: Path) -> None:
        (tmp_path / "reconciler.yaml").mkdir()
        assert [each.code for each in load_project(tmp_path).diagnostics] == ["file-unreadable"]

    def test_a_folder_that_does_not_exist(self, tmp_path: Path) -> None:
        assert codes(load(tmp_path / "nothing", environ={})) == ["project-not-found"]


class TestPaths:
    @pytest.fixture(autouse=True)
    def faulty(self, project: Path) -> None:
        head = "apiVersion: reconciler/v1\nkind: DeviceType\nname: "
        write(project, {"device-types/a.yaml": head + "a b\n", "device-types/deep/b.yaml": head + "b c\n"})

    @pytest.mark.parametrize(
        ("paths", "files"),
        [
            ([], ["device-types/a.yaml", "device-types/deep/b.yaml"]),
            (["device-types/a.yaml"], ["device-types/a.yaml"]),
            (["./device-types/deep"], ["device-types/deep/b.yaml"]),
            (["device-types"], ["device-types/a.yaml", "device-types/deep/b.yaml"]),
            (["."], ["device-types/a.yaml", "device-types/deep/b.yaml"]),
            (["device-types/tracker.yaml", "reconciler.yaml"], []),
        ],
    )
    def test_only_what_was_asked_about_is_reported(self, paths: list[str], files: list[str]) -> None:
        loaded = load(Path(), environ={}, paths=[Path(path) for path in paths])
        assert [each.place[0] for each in loaded.diagnostics] == files
        assert loaded.desired is None

    def test_a_file_outside_of_the_project(self, project: Path) -> None:
        write(project, {"drafts/x.yaml": "a: 1\n"})
        for path in ("drafts/x.yaml", "drafts", ".github"):
            assert codes(load(Path(), environ={}, paths=[Path(path)])) == ["file-outside-project"]

    def test_a_file_that_does_not_exist(self) -> None:
        assert codes(load(Path(), environ={}, paths=[Path("device-types/zzz.yaml")])) == ["file-not-found"]
