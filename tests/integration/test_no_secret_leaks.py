"""No secret is anywhere but in the requests that carry it: canaries in every field, and a search in all that is left.

Each value begins with a mark that no escaping touches, so that one search finds it in clear, percent-encoded, in JSON
and in HTML; three more find it in base64, wherever in a text it begins. The engine's sends succeed, fail, time out,
lose their connection, and meet receivers that repeat what they got in all of these forms.
"""

import base64
import html
import json
import os
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import httpx
import pytest

from reconciler.cli.main import run
from reconciler.errors import TargetUnavailable
from reconciler.grammar.escape import Context, escape
from reconciler.grammar.template import Secret
from reconciler.model.delivery import HttpRequest
from reconciler.model.resource import Method
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.channels.pool import Pool
from reconciler.targets.client import WritingClient
from tests.journeys.processes import PATIENCE, Engine, engine_process
from tests.mail_sink import MailSink, Refuse

MARK = "zQ9xKw"
SPECIAL = "\"<&'>%\\/+ =?#;:@é{}|^`~$,!()*[]-_.çß\u2028€"
PLACES = (
    "PATH", "QUERY", "LOGIN", "PASSWORD", "HEADER", "STRING", "VALUE", "FORM", "TEXT", "BATCH", "LINE", "SUBJECT",
    "MESSAGE",
)  # fmt: skip
SIZES = (8, 16, 32, 64)
GIVEN = {"device": "1", "time": 1_700_000_000, "seqNumber": 1}
CALLBACKS = ("json", "form", "text", "get", "batch", "mail")


def value(place: int, size: int, *, special: bool) -> str:
    """A canary, of so many characters; each of them is another one."""
    own = f"{place:x}{'s' if special else 'p'}"
    if special:
        turned = SPECIAL[(place * 3) % len(SPECIAL) :] + SPECIAL
        return (MARK + own[:1] + (turned * 3))[:size]
    return (MARK + own + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")[:size]


@dataclass(frozen=True)
class Variant:
    """A size and kind of value; a device type for it."""

    size: int
    special: bool

    @property
    def name(self) -> str:
        return f"{'special' if self.special else 'plain'}{self.size}"

    def secret(self, place: str) -> str:
        return f"{self.name}_{place}".upper()

    @property
    def secrets(self) -> Mapping[str, str]:
        return {self.secret(place): value(at, self.size, special=self.special) for at, place in enumerate(PLACES)}

    def device_type(self) -> dict[str, Any]:
        """Callbacks with a secret in every field that takes one; what the test of one of them expects is wrong."""
        s = {place: f"${{secret.{self.secret(place)}}}" for place in PLACES}
        common = {"type": "data/uplink", "channel": "url", "method": "POST"}
        return {
            "apiVersion": "reconciler/v1",
            "kind": "DeviceType",
            "name": self.name,
            "callbacks": {
                "json": {
                    **common,
                    "url": f"http://${{var.host}}/{s['PATH']}/{{device}}?k={s['QUERY']}&l={{seqNumber}}",
                    "headers": {"X-Key": f"Key {s['HEADER']}"},
                    "contentType": "application/json",
                    "body": f'{{"in": "a {s["STRING"]} b", "as": {s["VALUE"]}, "device": "{{device}}"}}',
                },
                "form": {
                    **common,
                    "url": f"http://{s['LOGIN']}:{s['PASSWORD']}@${{var.host}}/form/{{device}}?k={s['QUERY']}",
                    "body": f"f={s['FORM']}&device={{device}}",
                },
                "text": {
                    **common,
                    "method": "PUT",
                    "url": "http://${var.host}/text/{device}",
                    "contentType": "text/plain",
                    "body": f"{s['TEXT']} {{device}}",
                    "tests": [{"given": GIVEN, "expect": {"method": "GET", "url": "http://a/", "body": "another"}}],
                },
                "get": {**common, "method": "GET", "url": f"http://${{var.host}}/get/{{device}}?k={s['QUERY']}"},
                "batch": {
                    **common,
                    "channel": "batch-url",
                    "url": f"http://${{var.host}}/{self.name}/echo?lines={{batch}}&k={s['BATCH']}",
                    "linePattern": f"{{device}};{s['LINE']}",
                },
                "mail": {
                    "type": "data/uplink",
                    "channel": "email",
                    "recipient": "ada@example.com",
                    "subject": f"{{device}} {s['SUBJECT']}",
                    "message": f"a line\n{s['MESSAGE']}\n",
                },
            },
        }


VARIANTS = [Variant(size, special) for special in (False, True) for size in SIZES]
SECRETS = {name: each for variant in VARIANTS for name, each in variant.secrets.items()}
FORMATS = ("text", "json", "markdown", "html", "github")
TWO_FORMATS = ("text", "json")
REFUSED_MAIL = Variant(64, special=False)
OK, ECHO, HANG, BREAK, LONG = "A1", "B1", "C1", "D1", "E1"


def needles() -> Iterator[bytes]:
    """The mark in clear, and what of it is the same in base64 whatever stands around it."""
    yield MARK.encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + MARK.encode() + b"\0\0")
        first = -(-shift * 8 // 6)
        yield encoded[first : (shift + len(MARK)) * 8 // 6]


NEEDLES = [*needles()]


def leaks(data: bytes) -> list[bytes]:
    """The surroundings of each canary."""
    return [
        data[max(at - 60, 0) : at + 60] for needle in NEEDLES for at in [data.find(needle)] if at >= 0
    ]  # fmt: skip


@dataclass
class Search:
    """Everything that was looked at, by what it is."""

    looked_at: dict[str, int] = field(default_factory=dict)
    found: dict[str, list[bytes]] = field(default_factory=dict)

    def __call__(self, what: str, data: bytes | str) -> None:
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        self.looked_at[what] = len(raw)
        if leaks(raw):
            self.found[what] = leaks(raw)

    def folder(self, what: str, folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self(f"{what}: {path.relative_to(folder)}", path.read_bytes())


@pytest.fixture
def search() -> Search:
    return Search()


# What secrets are sent to


@dataclass
class FarEnd:
    """Does what the device in the request is for, and remembers the bytes that arrived."""

    port: int = 0
    arrived: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


def repeated(text: str) -> bytes:
    """What a careless receiver may answer: the request as it came, and in the forms of pages and programs."""
    plain = unquote(text)
    forms = [text, plain, html.escape(plain), json.dumps(plain), json.dumps(plain, ensure_ascii=False), quote(plain)]
    forms += [quote_plus(plain), html.escape(plain).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")]
    return "\n".join(forms).encode("utf-8", "replace")


@contextmanager
def far_end() -> Iterator[FarEnd]:
    end = FarEnd()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            head = "\n".join(f"{name}: {each.encode('latin-1').decode()}" for name, each in self.headers.items())
            request = f"{self.path}\n{head}\n\n{body.decode()}"
            end.arrived.append(request.encode())
            if HANG in self.path:
                end.ended.wait(PATIENCE)
            elif BREAK in self.path:
                self.close_connection = True
                return
            answer = b""
            if ECHO in self.path or "echo" in self.path:
                answer = repeated(request)
            elif LONG in self.path:
                answer = (repeated(request) * 1_000)[:70_000]
            self.send_response(204 if OK in self.path else 500 if ECHO in self.path else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Silent: whoever waited has hung up."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    end.port = server.server_address[1]
    try:
        yield end
    finally:
        end.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


# The whole way


def write_project(folder: Path, *, engine: str, host: str) -> None:
    (folder / "device-types").mkdir(parents=True)
    environment = {"target": {"engine": engine}, "variables": {"host": host}}
    other = {**environment, "variables": {"host": "127.0.0.1:1"}}
    project = {"apiVersion": "reconciler/v1", "kind": "Project", "name": "canary", "sources": ["device-types/*.yaml"]}
    (folder / "reconciler.yaml").write_text(
        json.dumps({**project, "environments": {"dev": environment, "other": other}})
    )
    for variant in VARIANTS:
        (folder / f"device-types/{variant.name}.yaml").write_text(json.dumps(variant.device_type()))


def messages() -> list[dict[str, object]]:
    """For each variant one that succeeds, one refused with an echo, one whose long echo is cut; some that hang."""
    found: list[dict[str, object]] = []
    for number, variant in enumerate(VARIANTS):
        devices = [OK, ECHO, BREAK, LONG, *([HANG] if variant.size == 16 else [])]
        found += (
            {"device": device, "deviceType": variant.name, "time": 1_700_000_000 + number, "seqNumber": at}
            for at, device in enumerate(devices)
        )
    return found


def settled(engine: Engine) -> None:
    """Wait until each delivery was attempted once."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = engine.ask("GET", "/v1/deliveries", params={"state": "pending", "limit": "1000"})["deliveries"]
        if all(each["attempts"] for each in found):
            return
        assert time.monotonic() < deadline, [each["id"] for each in found if not each["attempts"]]
        time.sleep(0.1)


def look_at_doors(engine: Engine, search: Search) -> None:
    headers = {"Authorization": f"Bearer {engine.token}"}
    with httpx.Client(base_url=engine.url, headers=headers, timeout=PATIENCE, trust_env=False) as client:

        def look(path: str, method: str = "GET", **more: Any) -> Any:
            answer = client.request(method, path, **more)
            search(f"{method} {path}", answer.content + repr(answer.headers).encode())
            return answer.json() if "json" in answer.headers.get("content-type", "") else None

        for path in (
            "/metrics", "/readyz", "/healthz", "/v1/revisions", "/v1/revisions/1", "/v1/revisions/current",
            "/v1/revisions/applied?owner=canary", "/v1/deliveries?state=undelivered", "/v1/downlinks?wait=0s",
            "/no/where",
        ):  # fmt: skip
            look(path)
        keys = list(look("/v1/revisions/current")["definitions"])
        look("/v1/revisions/1/definitions", "POST", json={"keys": keys})
        look("/v1/revisions", "POST", json={"owner": "canary", "changes": "nonsense"})
        deliveries = look("/v1/deliveries?limit=1000")["deliveries"]
        assert len(deliveries) > 100
        for delivery in deliveries[::7]:
            look(f"/v1/deliveries/{delivery['id']}")
        for device in (OK, ECHO):
            look(f"/v1/messages?device={device}")
        for id in {delivery["messageId"] for delivery in deliveries}:
            look(f"/v1/messages/{id}")


BUGS = """
import hmac
from reconciler.runtime.channels.pool import Pool

def digest(key, message, algorithm):
    raise RuntimeError("a bug of a door")

def borrow(self, *given, **more):
    raise RuntimeError("a bug of what sends")

hmac.digest, Pool.borrow = digest, borrow
"""


def look_at_bugs(engine: Engine, search: Search) -> None:
    """What the doors answer that fall over it."""
    headers = {"Authorization": f"Bearer {engine.token}"}
    for path in ("/v1/revisions/current", "/v1/revisions/applied?owner=canary"):
        answer = httpx.get(f"{engine.url}{path}", headers=headers, timeout=PATIENCE, trust_env=False)
        search(f"GET {path} with a bug: {answer.status_code}", answer.content + repr(answer.headers).encode())


@dataclass
class Verbs:
    """The command line, in this process, with all secrets in its environment; what it says is searched."""

    search: Search
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, code: int = 0) -> None:
        ended = run(arguments)
        shown = self.capsys.readouterr()
        self.search(" ".join(arguments), shown.out + shown.err)
        assert os.environ["RECONCILER_TOKEN"] not in shown.out + shown.err, arguments
        assert ended == code, (arguments, shown)

    def know(self, more: Mapping[str, str]) -> None:
        for name, each in more.items():
            self.monkeypatch.setenv(name, each)


@pytest.fixture
def verbs(search: Search, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verbs:
    return Verbs(search, monkeypatch, capsys)


def look_at_verbs(project: Path, engine: Engine, verbs: Verbs) -> None:
    """Every verb that shows something of definitions, deliveries or revisions."""
    newest = engine.ask("GET", "/v1/deliveries", params={"limit": "1000"})["deliveries"]
    (project / "message.json").write_text(json.dumps(GIVEN))
    shown = [
        (*verb, "--engine", engine.url, "--format", format)
        for delivery in newest[::80]
        for verb in (("deliveries", "show", delivery["id"]), ("explain", delivery["messageId"]))
        for format in TWO_FORMATS
    ]
    rendered = [
        ("render", f"{device_type}/{callback}", "--message", "message.json", "--format", format)
        for device_type in ("special64", "plain8")
        for callback in CALLBACKS
        for format in TWO_FORMATS
    ]
    for format in TWO_FORMATS:
        verbs("validate", "--format", format)
        verbs("diff", "dev", "other", "--check", "--format", format, code=3)
        verbs("drift", "-e", "dev", "--format", format)
        verbs("history", "-e", "dev", "--format", format)
        verbs("history", "-e", "dev", "1", "--format", format)
        verbs("deliveries", "list", "-e", "dev", "--format", format)
        verbs("fmt", "--check", "--format", format, code=1)
    for format in ("text", "json", "junit"):
        verbs("test", "-e", "dev", "-v", "--format", format, "-o", f"tests.{format}", code=1)
        verbs("test", "-e", "dev", "--format", format, code=1)
    for format in FORMATS:
        verbs("plan", "-e", "other", "--format", format)
    verbs("plan", "-e", "dev", "-o", "again.plan", "-v")
    verbs("fmt", "--diff")
    verbs("fmt")
    for command in (*shown, *rendered):
        verbs(*command)


def look_at_what_writes(project: Path, engine: Engine, verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes files and revisions: after somebody worked behind the files, and after an apply that broke."""
    for format in TWO_FORMATS:
        change_by_hand(engine, mark=format)
        verbs("drift", "-e", "dev", "--check", "--format", format, code=3)
        verbs("plan", "-e", "dev", "--check", "--format", format, code=3)
        verbs("import", "-e", "dev", "-v", "--format", format)
        verbs("rollback", "-e", "dev", "1", "--yes", "-v", "--format", format)
        with monkeypatch.context() as patched:
            patched.setattr(WritingClient, "post", breaks_with(RuntimeError("a bug")))
            verbs("apply", "-e", "dev", "--yes", "-v", "--format", format, code=70)
        verbs("apply", "-e", "dev", "--yes", code=1)
        verbs.search.folder("project after an apply that broke", project)
        with monkeypatch.context() as patched:
            patched.setattr(WritingClient, "post", breaks_with(TargetUnavailable("a cable")))
            verbs("apply", "--resume", "-e", "dev", "--format", format, code=4)
        verbs("apply", "--resume", "-e", "dev", "-v", "--format", format)
        newest = str(engine.ask("GET", "/v1/revisions/current")["number"])
        verbs("history", "-e", "dev", newest, "--format", format)


def change_by_hand(engine: Engine, *, mark: str) -> None:
    """Change a callback of every device type at the engine's door, in each of its fields that hold secrets."""
    keys = [f"{variant.name}/json" for variant in VARIANTS]
    number = engine.ask("GET", "/v1/revisions/current")["number"]
    found = engine.ask("POST", f"/v1/revisions/{number}/definitions", json={"keys": keys})["definitions"]
    changes = []
    for key in keys:
        content = found[key]["content"]
        after = {
            **content,
            "url": f"{content['url']}&by={mark}",
            "headers": {f"X-{mark}": value for value in content["headers"].values()},
            "body": content["body"].replace("{", f'{{"{mark}": 1, ', 1),
        }
        changes.append({"kind": "update", "key": key, "expects": found[key]["digest"], "after": after})
    body = {"owner": "canary", "by": "Mallory", "changes": changes}
    engine.ask("POST", "/v1/revisions", json=body, headers={"If-Match": f'"{number}"'})


def breaks_with(raised: Exception) -> Callable[..., Awaitable[None]]:
    """A coroutine function that raises."""

    async def breaks(*_: object, **__: object) -> None:
        raise raised

    return breaks


def test_secrets_are_only_in_the_requests_that_carry_them(
    tmp_path: Path, search: Search, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, data = tmp_path / "project", tmp_path / "data"
    clear = {f"RECONCILER_SECRET_{name}": each for name, each in SECRETS.items()}
    verbs.know(clear)
    serve = ("-v", "--allow-egress", "private", "--mail-from", "engine@example.com", "--smtp")
    with far_end() as end, MailSink() as mailbox:
        with engine_process(data, *serve, mailbox.url, env=clear) as engine:
            verbs.know(engine.env)
            write_project(project, engine=engine.url, host=f"127.0.0.1:{end.port}")
            monkeypatch.chdir(project)
            verbs("plan", "-e", "dev", "-o", "first.plan")
            verbs("apply", "first.plan", "--yes", "-v")
            with engine.following() as attempts:
                engine.post(*messages())
                for number in range(20):
                    search(f"stream {number}", json.dumps(next(attempts), ensure_ascii=False))
            settled(engine)
            look_at_doors(engine, search)
            look_at_verbs(project, engine, verbs)
            look_at_what_writes(project, engine, verbs, monkeypatch)
            search.folder("while it runs", data)
        search("log", "".join(engine.log))

        own = REFUSED_MAIL.secrets
        subject, text = own[REFUSED_MAIL.secret("SUBJECT")], own[REFUSED_MAIL.secret("MESSAGE")]
        with MailSink(otherwise=Refuse("END", f"550 5.7.1 {subject} is no subject, {text} no message")) as unwilling:
            with engine_process(data, *serve, unwilling.url, env=clear, token=engine.token) as refusing:
                refusing.post({"device": OK, "deviceType": REFUSED_MAIL.name, "time": 1_700_000_100, "seqNumber": 99})
                settled(refusing)
                look_at_doors(refusing, search)
            search("log of refused mails", "".join(refusing.log))
            assert unwilling.connections > 0

        # Every secret has another value: that is a change, and still nobody sees one.
        moved = {name: each[:-1] + ("8" if each[-1] == "9" else "9") for name, each in clear.items()}
        with engine_process(data, *serve, mailbox.url, env=moved, token=engine.token) as rotated:
            verbs.know({**rotated.env, **moved})
            file = project / "reconciler.yaml"
            file.write_text(file.read_text().replace(engine.url, rotated.url))
            for format in FORMATS:
                verbs("plan", "-e", "dev", "--check", "-o", "moved.plan", "--format", format, code=3)
            verbs("apply", "-e", "dev", "--yes")
        search("log of the rotated engine", "".join(rotated.log))

        # A bug while values are in hand: of doors that take fingerprints, and of what sends.
        (tmp_path / "bugs").mkdir()
        (tmp_path / "bugs/sitecustomize.py").write_text(BUGS)
        planted = {**clear, "PYTHONPATH": str(tmp_path / "bugs")}
        with engine_process(data, *serve, mailbox.url, env=planted, token=engine.token) as broken:
            file.write_text(file.read_text().replace(rotated.url, broken.url))
            verbs.know({**broken.env, **clear})
            with pytest.raises(httpx.HTTPStatusError, match="500"):
                broken.ask("GET", "/v1/revisions/current")
            look_at_bugs(broken, search)
            for format in TWO_FORMATS:
                verbs("plan", "-e", "dev", "-v", "--format", format, code=4)
                verbs("apply", "-e", "dev", "--yes", "-v", "--format", format, code=4)
            broken.post({"device": OK, "deviceType": REFUSED_MAIL.name, "time": 1_700_000_200, "seqNumber": 100})
            broken.wait_for("RuntimeError: a bug of what sends")
        log = "".join(broken.log)
        assert log.count("Traceback") > 2
        assert log.count("RuntimeError: a bug of a door") > 2
        search("log of the engine with bugs", log)

    search.folder("data", data)
    search.folder("project", project)
    assert search.found == {}
    assert len(search.looked_at) > 100
    assert any("wal" in what for what in search.looked_at), "the database was looked at while it was in use"

    # The search finds what is there: every secret was sent, in every field.
    sent = b"\n".join([*end.arrived, *(mail.content + mail.text.encode() for mail in mailbox.mails)])
    sent += "\n".join(mail.header("Subject") or "" for mail in mailbox.mails).encode()
    assert leaks(sent)
    assert [name for name, each in SECRETS.items() if not _carried(each, sent)] == []


def _carried(value: str, sent: bytes) -> bool:
    """Whether a value arrived, in the form of its place; login and password are in base64, one behind the other."""
    if any(escape(value, context).encode() in sent for context in Context):
        return True
    shifted = (base64.b64encode(b"\0" * shift + value.encode())[2 + shift : -4] for shift in range(3))
    return any(part in sent for part in shifted)


def test_a_finding_that_quotes_a_line_shows_no_password_of_it(
    tmp_path: Path, search: Search, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an author wrote into a URL in clear, on the very lines that are wrong; columns stay what they are."""
    write_project(tmp_path, engine="http://127.0.0.1:9", host="127.0.0.1:9")
    verbs.know({"RECONCILER_TOKEN": "rk_" + "A" * 43})
    monkeypatch.chdir(tmp_path)
    for at, variant in enumerate(variant for variant in VARIANTS if not variant.special):
        password, login = value(at, variant.size, special=False), "ada:" if at % 2 else ""
        document = variant.device_type()
        document["callbacks"]["form"]["url"] = f"http://{login}{password}@${{var.host}}/{{devcie}}?k={{devcie}}"
        for style, indent in (("flow", None), ("lines", 2)):
            text = json.dumps({**document, "name": f"{variant.name}-{style}"}, indent=indent)
            (tmp_path / f"device-types/{variant.name}-{style}.yaml").write_text(text)
    for format in ("text", "json", "sarif", "github"):
        verbs("validate", "--format", format, code=1)
    for command in (("test",), ("plan", "-e", "dev"), ("apply", "-e", "dev", "--yes"), ("diff", "dev", "other")):
        verbs(*command, code=1)
    assert search.found == {}
    assert all(size > 1_000 for size in search.looked_at.values())

    run(["validate", "--format", "json"])
    findings = json.loads(verbs.capsys.readouterr().out)["diagnostics"]
    quoted = [each["source"] for each in findings if each["code"] == "unknown-variable"]
    assert len(quoted) == 2 * 2 * len(SIZES)
    lines = [line for file in tmp_path.rglob("*.yaml") for line in file.read_text().splitlines()]
    assert {len(line) for line in quoted} <= {len(line) for line in lines}
    assert all("****" in line and "/{devcie}?k={devcie}" in line for line in quoted)


def test_findings_and_diffs_of_files_show_no_credentials_of_a_header(
    tmp_path: Path, search: Search, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path, engine="http://127.0.0.1:9", host="127.0.0.1:9")
    verbs.know({"RECONCILER_TOKEN": "rk_" + "A" * 43})
    monkeypatch.chdir(tmp_path)
    for at, variant in enumerate(variant for variant in VARIANTS if not variant.special):
        document, credentials = variant.device_type(), value(at, variant.size, special=False)
        scheme = ("Bearer ", "Basic ", "", "Token ")[at]
        document["callbacks"]["json"]["headers"] = {"Authorization": f"{scheme}{credentials}{{devcie}}"}
        for style, indent in (("flow", None), ("lines", 2)):
            text = json.dumps({**document, "name": f"{variant.name}-{style}"}, indent=indent)
            (tmp_path / f"device-types/{variant.name}-{style}.yaml").write_text(text)
        (tmp_path / f"device-types/{variant.name}-block.yaml").write_text(
            f"kind: DeviceType\napiVersion:   reconciler/v1\nname: {variant.name}-block\ncallbacks:\n  json:\n"
            f"    headers:\n      Authorization: >-\n        Own\n        {credentials}\n    channel: url\n"
        )
    for format in ("text", "json", "sarif", "github"):
        verbs("validate", "--format", format, code=1)
    run(["fmt", "--diff"])
    diff = verbs.capsys.readouterr().out
    search("fmt --diff", diff)
    assert search.found == {}
    assert diff.count("-block.yaml") == 2 * len(SIZES)
    assert diff.count("****") > 3 * len(SIZES)
    run(["validate", "--format", "json"])
    findings = json.loads(verbs.capsys.readouterr().out)["diagnostics"]
    quoted = [each["source"] for each in findings if each["code"] == "unknown-variable"]
    assert len(quoted) == 2 * len(SIZES)
    assert all("****" in line for line in quoted)


async def test_a_traceback_holds_none(monkeypatch: pytest.MonkeyPatch, search: Search) -> None:
    """A bug while a request with secrets is in our hands: its traceback, the objects in its frames, the exception."""
    asked: list[str] = []

    def look_up(name: str) -> str:
        asked.append(name)
        return value(1, 64, special=True)

    def breaks(self: Pool, now: float) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Pool, "borrow", breaks)
    channel = HttpChannel(secrets=look_up, egress=EgressPolicy(allow_private=True), connections_per_endpoint=1)
    request = HttpRequest(
        method=Method.POST,
        scheme="http",
        host="127.0.0.1",
        port=1,
        target=("/", Secret("KEY", Context.PATH)),
        headers=(("X-Key", (Secret("KEY", Context.HEADER),)),),
        credentials=("ada:", Secret("KEY", Context.TEXT)),
        body=("x", Secret("KEY", Context.TEXT)),
        send_sni=False,
    )
    with pytest.raises(RuntimeError) as caught:
        await channel.send(request, timeout=timedelta(seconds=1))
    await channel.close()
    assert len(asked) == 4
    search("traceback", "".join(traceback.format_exception(caught.value)))
    frame = caught.value.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_name == "send":
            held = frame.tb_frame.f_locals
            search("what sends", repr([held["filling"], held["self"], held["request"], held["pool"]]))
        frame = frame.tb_next
    assert {"traceback", "what sends"} == set(search.looked_at)
    assert search.found == {}
