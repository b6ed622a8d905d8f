"""octoDNS planning as many records as we plan callbacks: the same work in another field, for `tests.benchmarks.plan`.

octoDNS (github.com/octodns/octodns) compares YAML files with what a provider holds. Its PowerDNS provider asks for one
zone after the other over HTTP; the server here is a process on loopback that knows the answers by heart. One record in
a hundred differs. `octodns-sync` without `--doit` plans; with it, it applies.
"""

import contextlib
import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.benchmarks.cost import Cost, cost_of

__all__ = ["measured"]

PACKAGES = ("octodns", "octodns-powerdns")
CHANGED_EACH = 100

CONFIG = """\
providers:
  files: {{class: octodns.provider.yaml.YamlProvider, directory: {directory}, default_ttl: 300}}
  server: {{class: octodns_powerdns.PowerDnsProvider, host: 127.0.0.1, port: {port}, api_key: benchmark}}
zones:
"""


def zone_name(number: int) -> str:
    return f"zone-{number:04}.example."


def names(zone: int, *, records: int, zones: int) -> range:
    """The numbers of a zone's records."""
    return range(zone * records // zones, (zone + 1) * records // zones)


def address(record: int, *, changed: bool) -> str:
    return f"192.0.2.{2 if changed and record % CHANGED_EACH == 0 else 1}"


def write_files(folder: Path, *, port: int, records: int, zones: int) -> Path:
    """The configuration file; beside it a file for each zone."""
    config = CONFIG.format(directory=folder / "zones", port=port)
    (folder / "zones").mkdir()
    for zone in range(zones):
        name = zone_name(zone)
        config += f"  {name}: {{sources: [files], targets: [server]}}\n"
        lines = [
            f"host-{record:06}: {{ttl: 300, type: A, value: {address(record, changed=True)}}}\n"
            for record in names(zone, records=records, zones=zones)
        ]
        (folder / "zones" / f"{name}yaml").write_text("".join(lines))
    (folder / "config.yaml").write_text(config)
    return folder / "config.yaml"


def answers(*, records: int, zones: int) -> dict[str, bytes]:
    """What the server says of each path."""
    root = "/api/v1/servers/localhost"
    known: dict[str, Any] = {root: {"version": "4.9.0"}, f"{root}/config": []}
    for zone in range(zones):
        name = zone_name(zone)
        rrsets = [
            {
                "name": f"host-{record:06}.{name}",
                "type": "A",
                "ttl": 300,
                "records": [{"content": address(record, changed=False), "disabled": False}],
            }
            for record in names(zone, records=records, zones=zones)
        ]
        known[f"{root}/zones/{name}"] = {"name": name, "kind": "Master", "rrsets": rrsets}
    return {path: json.dumps(answer).encode() for path, answer in known.items()}


def serve(records: int, zones: int) -> None:
    """Answer on a free port, whose number is printed, until the process is ended."""
    known = answers(records=records, zones=zones)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave together

        def do_GET(self) -> None:
            body = known.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextlib.contextmanager
def server(*, records: int, zones: int) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.benchmarks.octodns", str(records), str(zones)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        try:
            yield int(serving.stdout.readline())
        finally:
            serving.terminate()


def measured(folder: Path, *, records: int, zones: int, repeats: int) -> Iterator[tuple[str, list[Cost]]]:
    """What its commands cost, by name; it is installed in `folder` first."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", *PACKAGES], check=True)
    release = subprocess.run(
        [programs / "python", "-c", "import octodns; print(octodns.__version__)"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    with server(records=records, zones=zones) as port:
        config = write_files(folder, port=port, records=records, zones=zones)
        for name in ("octodns-validate", "octodns-sync"):
            command = [str(programs / name), "--config-file", str(config)]
            if name == "octodns-sync":
                planned = subprocess.run([*command, "--quiet"], check=True, capture_output=True, text=True)
                updates = planned.stderr.count("*   Update\n")
                assert updates == records // CHANGED_EACH, "octoDNS did not see what differs"
            costs = [cost_of([*command, "--quiet"], cwd=folder, env={}) for _ in range(repeats)]
            yield f"{name} {release}", costs


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
