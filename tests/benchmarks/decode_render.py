"""How long decoding one payload and rendering one request takes, beside the limits they are held to.

python tests/benchmarks/decode_render.py
"""

import timeit
from collections.abc import Callable

from reconciler.grammar.body import parse_json_body
from reconciler.grammar.payload import PayloadConfig, Value
from reconciler.grammar.template import parse_header_value
from reconciler.grammar.url import parse_url

_ROUNDS = 9
_CALLS = 20_000


def _nanoseconds(call: Callable[[], object]) -> float:
    """Per call, in the best of several rounds: what the machine does beside it can only add."""
    return min(timeit.repeat(call, number=_CALLS, repeat=_ROUNDS)) / _CALLS * 1e9


def main() -> None:
    config = PayloadConfig.parse("temperature::int:14 humidity:1:uint:10:1 pressure:4:uint:32 weight:8:int:20")
    data = bytes.fromhex("e80332c0ff00112233445566")

    url = parse_url("https://ingest.example.com/uplink/{device}/{deviceTypeId}?t={time}&seq={seqNumber}")
    body = parse_json_body('{"device":"{device}","t":{customData#temperature},"h":{customData#humidity},"at":{time}}')
    header = parse_header_value("Bearer ${secret.INGEST_TOKEN}")
    values: dict[str, Value] = {
        "device": "1C178",
        "deviceTypeId": "628fd74fb3cabb6565ae81bb",
        "time": 1_700_000_000,
        "seqNumber": 7,
        "customData#temperature": -12,
        "customData#humidity": 55,
    }
    hostile = values | {"device": 'a/../b?c=d&e="{time}"\r\n', "deviceTypeId": "déjà vu"}

    def url_and_body(given: dict[str, Value]) -> Callable[[], object]:
        return lambda: (url.target.render(given), body.render(given))

    rows: list[tuple[str, Callable[[], object], int | None]] = [
        ("decode 4 fields of 12 bytes", lambda: config.decode(data), 1_500),
        ("render URL and JSON body, 4 variables each", url_and_body(values), 5_000),
        ("the same, values that need escaping", url_and_body(hostile), None),
        ("render a header with a secret", lambda: header.render(values), None),
    ]
    print(f"{'what':<45}{'ns':>8}{'limit':>8}")
    for name, call, limit in rows:
        print(f"{name:<45}{_nanoseconds(call):>8.0f}{limit or '':>8}")


if __name__ == "__main__":
    main()
