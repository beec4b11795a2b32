"""`IdSet` behaves as a set of any size."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from synthflow_assets.api import ids as ids_module
from synthflow_assets.api.ids import IdSet

# Few different ones, so that they come again; and the ends of 64 bits.
KEYS = st.integers(0, 60) | st.sampled_from([-(2**63), 2**63 - 1, -1])


@given(pages=st.lists(st.lists(KEYS, max_size=20), max_size=40))
@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_id_is_new_once(monkeypatch: pytest.MonkeyPatch, pages: list[list[int]]) -> None:
    monkeypatch.setattr(ids_module, "MAX_RECENT", 5)
    ids, plain = IdSet(), set()
    for page in pages:
        expected = []
        for key in page:
            expected.append(key not in plain)
            plain.add(key)
        assert ids.add(page) == expected
        assert len(ids) == len(plain)
