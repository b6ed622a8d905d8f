"""Sizes as people write them."""

import pytest

from reconciler.cli.byte_size import bytes_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("2000", 2000),
        ("500MB", 500_000_000),
        ("500 MB", 500_000_000),
        ("512MiB", 512 * 1024 * 1024),
        ("2GB", 2 * 10**9),
        ("1TiB", 1024**4),
        ("1KB", 1000),
        ("1.5GB", None),
        ("2G", None),
        ("-1MB", None),
        ("MB", None),
        ("", None),
        ("٣MB", None),
    ],
)
def test_a_size_is_a_whole_number_and_perhaps_a_unit(text: str, size: int | None) -> None:
    assert bytes_of(text) == size
