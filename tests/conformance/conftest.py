from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.store.protocol import Store
from tests.conformance.store_rig import STORES
from tests.conformance.target_rig import PLACES, Place


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await STORES[request.param](tmp_path)
    yield store
    await store.close()


@pytest.fixture(params=list(PLACES))
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with PLACES[request.param](tmp_path) as opened:
        yield opened
