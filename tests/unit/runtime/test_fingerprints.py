"""Fingerprints of secrets: what they tell, what they need, and that nothing of a value is anywhere else."""

import hmac
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import StoreError
from reconciler.model.definition import Content
from reconciler.model.resource import Key
from reconciler.model.revision import Owned, Revision
from reconciler.model.snapshot import SecretState
from reconciler.runtime.fingerprints import KEY_BYTES, Fingerprints, fingerprint_key, secret_names, secret_uses
from tests.builders import a_definition, a_revision

KEY = bytes(range(KEY_BYTES))


def fingerprint(name: str, value: str, *, key: bytes = KEY) -> str:
    return hmac.digest(key, f"{name}\0{value}".encode(errors="surrogatepass"), "sha256").hex()[:16]


def revision(**callbacks: Content) -> Revision:
    return a_revision(
        [
            a_definition(Key("tracker"), {"description": "It says ${secret.NOTHING}, which is no template."}),
            *(a_definition(Key("tracker", name), content) for name, content in callbacks.items()),
        ]
    )


EVERYWHERE = revision(
    url={
        "url": "https://${secret.LOGIN}:${secret.PASSWORD}@e.test/${secret.PATH}?key=${secret.KEY}",
        "headers": {"Authorization": "Bearer ${secret.TOKEN}"},
        "body": "a=${secret.KEY}&b={device}",
        "enabled": False,
    },
    batch={"url": "https://e.test/?key=${secret.KEY}&lines={batch}", "linePattern": "${secret.LINE};{time}"},
    mail={"recipient": "ops@example.com", "subject": "${secret.SUBJECT}", "message": "$ {x} ${secret._m2}"},
    none={"url": "https://e.test/{device}", "body": '{"a": "${"}'},
)


def test_every_template_of_a_callback_is_looked_through() -> None:
    names = secret_names(EVERYWHERE, known={})
    assert {name: [key.callback for key in keys] for name, keys in secret_uses(EVERYWHERE, names=names).items()} == {
        "KEY": ["batch", "url"],
        "LINE": ["batch"],
        "LOGIN": ["url"],
        "PASSWORD": ["url"],
        "PATH": ["url"],
        "SUBJECT": ["mail"],
        "TOKEN": ["url"],
        "_m2": ["mail"],
    }


TWO = revision(a={"body": "${secret.A}"}, b={"body": "${secret.A}${secret.B}"})


@pytest.mark.parametrize("value", ["x", "correct horse battery staple", "ž 🐎", "\udcff", "", "a\0b"])
async def test_a_fingerprint_is_a_keyed_digest_of_name_and_value(value: str) -> None:
    taken = await Fingerprints(KEY, {"A": value}.get).taken(TWO)
    assert taken == replace(TWO, fingerprints={"A": fingerprint("A", value), "B": None})


async def test_the_same_value_has_other_fingerprints_under_another_name_and_another_key() -> None:
    values = {"A": "same", "B": "same"}
    one = await Fingerprints(KEY, values.get).taken(TWO)
    other = await Fingerprints(bytes(KEY_BYTES), values.get).taken(TWO)
    assert len({*one.fingerprints.values(), *other.fingerprints.values()}) == 4


async def test_states_tell_what_was_recorded_and_what_is_now_for_each_secret_and_by_whom_it_is_used() -> None:
    values = {"A": "old"}
    fingerprints = Fingerprints(KEY, values.get)
    published = await fingerprints.taken(TWO)
    a, b = Key("tracker", "a"), Key("tracker", "b")
    old, new = fingerprint("A", "old"), fingerprint("A", "new")
    assert await fingerprints.states(published) == {
        "A": SecretState(old, old, (a, b)),
        "B": SecretState(None, None, (b,)),
    }
    values |= {"A": "new", "B": "first"}
    assert await fingerprints.states(published) == {
        "A": SecretState(old, new, (a, b)),
        "B": SecretState(None, fingerprint("B", "first"), (b,)),
    }
    assert await fingerprints.states(TWO) == {}  # nothing was recorded: whether anything changed is not known


async def test_without_secrets_nothing_has_a_value() -> None:
    assert (await Fingerprints(KEY, None).taken(TWO)).fingerprints == {"A": None, "B": None}


@pytest.mark.parametrize(
    ("values", "owner", "moved"),
    [
        ({"A": "old", "B": "old"}, "mine", False),
        ({"A": "new", "B": "old"}, "mine", True),
        ({"A": "old", "B": "new"}, "mine", False),  # only the other project's definitions refer to it
        ({"A": "old", "B": "new"}, "theirs", True),
        ({"B": "old"}, "mine", True),
        ({"A": "new", "B": "new"}, "nobody", False),
    ],
)
async def test_a_secret_has_moved_for_those_whose_definitions_refer_to_it(
    values: dict[str, str], owner: str, moved: bool
) -> None:
    owners = {Key("tracker"): "mine", Key("tracker", "a"): "mine", Key("tracker", "b"): "theirs"}
    contents = revision(a={"body": "${secret.A}"}, b={"body": "${secret.B}"})
    owned = {key: Owned(each.definition, owners[key]) for key, each in contents.owned.items()}
    published = await Fingerprints(KEY, {"A": "old", "B": "old"}.get).taken(replace(contents, owned=owned))
    assert await Fingerprints(KEY, values.get).moved(published, None, owner=owner) is moved


async def test_what_counts_is_the_record_of_the_last_applied_revision() -> None:
    applied = await Fingerprints(KEY, {"A": "old"}.get).taken(TWO)
    fingerprints = Fingerprints(KEY, {"A": "new"}.get)
    later = await fingerprints.taken(replace(TWO, number=2))
    assert await fingerprints.moved(later, applied, owner="cold-chain")
    assert not await fingerprints.moved(later, later, owner="cold-chain")


def test_a_key_of_another_length_is_none() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        Fingerprints(KEY[:-1], None)


# The file of the key


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = fingerprint_key(tmp_path)
    (file,) = tmp_path.iterdir()
    assert (len(key), file.read_bytes(), file.stat().st_mode & 0o777) == (KEY_BYTES, key, 0o600)
    assert fingerprint_key(tmp_path) == key


def test_each_engine_has_a_key_of_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert fingerprint_key(tmp_path / "a") != fingerprint_key(tmp_path / "b")


def test_what_a_crash_left_behind_is_not_taken_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.new").write_bytes(b"half a key")
    assert fingerprint_key(tmp_path, random_bytes=lambda count: bytes(count)) == bytes(KEY_BYTES)


def test_a_file_that_is_no_key_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.key").write_bytes(b"short")
    with pytest.raises(StoreError, match=r"fingerprint\.key is no key .* it has 5 bytes, not 32; bring back"):
        fingerprint_key(tmp_path)


def test_a_directory_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"can not be used: No such file or directory"):
        fingerprint_key(tmp_path / "nowhere")


def test_names_that_are_known_are_not_looked_for_again() -> None:
    known = dict.fromkeys(secret_names(EVERYWHERE, known={}), ("KNOWN",))
    assert {*secret_names(EVERYWHERE, known=known).values()} == {("KNOWN",)}
    assert [*secret_uses(EVERYWHERE, names=known)] == ["KNOWN"]
