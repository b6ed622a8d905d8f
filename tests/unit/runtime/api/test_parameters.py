from collections.abc import Callable
from datetime import timedelta

import pytest
from starlette.requests import Request

from reconciler.model.delivery import DeliveryId, State
from reconciler.model.resource import Key
from reconciler.runtime.api.answers import DoorError
from reconciler.runtime.api.parameters import (
    Parameters,
    callback_of,
    delivery_id_of,
    device_of,
    endpoint_of,
    state_of,
)

ID = "65" * 16
MINUTE = timedelta(minutes=1)


def query(text: str, *names: str) -> Parameters:
    return Parameters(Request({"type": "http", "headers": [], "query_string": text.encode()}), *names)


def refusal_of(call: Callable[[], object]) -> DoorError:
    with pytest.raises(DoorError) as caught:
        call()
    return caught.value


def test_parameters_are_read_by_name() -> None:
    given = query("device=1c178&limit=5&before=", "device", "limit", "before")

    assert given.text("device") == "1c178"
    assert given.limit(default=20, most=100) == 5
    assert given.text("before") is None
    assert given.number("before") is None


def test_a_limit_that_is_left_out_is_the_doors_own() -> None:
    assert query("", "limit").limit(default=20, most=100) == 20


@pytest.mark.parametrize(
    "text", ["limit=0", "limit=101", "limit=-1", "limit=ten", "limit=1e3", "limit=%D9%A3", f"limit={'9' * 40}"]
)
def test_a_limit_out_of_bounds_is_refused(text: str) -> None:
    refused = refusal_of(lambda: query(text, "limit").limit(default=20, most=100))

    assert (refused.status, refused.body["code"]) == (400, "invalid-parameter")


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("wait=", 0), ("wait=0", 0), ("wait=0s", 0), ("wait=30s", 30), ("wait=060", 60)]
)
def test_how_long_to_wait_is_in_whole_seconds(text: str, seconds: int) -> None:
    assert query(text, "wait").wait(most=MINUTE) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["61", "61s", "-1s", "1.5s", "1m", "PT1M", "s", "%D9%A3s", "9" * 30])
def test_a_wait_out_of_bounds_is_refused(text: str) -> None:
    refused = refusal_of(lambda: query(f"wait={text}", "wait").wait(most=MINUTE))

    assert (refused.status, refused.body["code"]) == (400, "invalid-parameter")
    assert "up to 60s" in refused.body["message"]


@pytest.mark.parametrize("text", ["devise=1C178", "device=1C178&x=1"])
def test_a_misspelt_parameter_is_refused_with_the_names_that_exist_and_without_its_own(text: str) -> None:
    refused = refusal_of(lambda: query(text, "device", "limit"))

    assert refused.body["code"] == "unknown-parameter"
    assert "device, limit" in refused.body["message"]
    assert "devise" not in refused.body["message"]


def test_a_parameter_that_occurs_twice_is_refused() -> None:
    assert refusal_of(lambda: query("device=1&device=2", "device")).body["code"] == "invalid-parameter"


def test_what_is_left_out_filters_nothing() -> None:
    assert [of(None) for of in (state_of, callback_of, device_of, endpoint_of, delivery_id_of)] == [None] * 5


def test_filters_are_spelt_as_the_engine_keeps_them() -> None:
    assert state_of("undelivered") is State.UNDELIVERED
    assert callback_of("tracker/telemetry") == Key("tracker", "telemetry")
    assert device_of("001c178") == "1C178"
    assert device_of("000") == "0"
    assert device_of("70b3d57ed0001a2b") == "70B3D57ED0001A2B"
    assert delivery_id_of(f"{ID}.3") == DeliveryId(ID, 3)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("https://ingest.example.com:443", "https://ingest.example.com:443"),
        ("https://ingest.example.com", "https://ingest.example.com:443"),
        ("HTTP://Ingest.Example.com/", "http://ingest.example.com:80"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[2001:db8::1]", "http://[2001:db8::1]:80"),
        ("smtp", "smtp"),
    ],
)
def test_an_endpoint_may_leave_out_its_port(text: str, endpoint: str) -> None:
    assert endpoint_of(text) == endpoint


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (state_of, "failed"),
        (callback_of, "tracker"),
        (callback_of, "/telemetry"),
        (callback_of, "tracker/"),
        (device_of, "1C17Z"),
        (device_of, "0" * 17),
        (endpoint_of, "ingest.example.com"),
        (endpoint_of, "ftp://ingest.example.com"),
        (endpoint_of, "https://ingest.example.com/path"),
        (endpoint_of, "https://user@ingest.example.com"),
        (endpoint_of, "https://ingest.example.com:99999"),
        (endpoint_of, "http://[::1"),
        (delivery_id_of, "7"),
    ],
)
def test_a_filter_that_can_match_nothing_is_refused(of: Callable[[str], object], text: str) -> None:
    refused = refusal_of(lambda: of(text))

    assert (refused.status, refused.body["code"]) == (400, "invalid-parameter")
