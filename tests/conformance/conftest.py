from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.store.protocol import Store
from tests.conformance.store_rig import STORES


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await STORES[request.param](tmp_path)
    yield store
    await store.close()
