"""Random numbers that depend on their purpose alone."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.system import randomness


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 10**9), st.text(max_size=5)), min_size=1, max_size=3))
def test_a_key_is_reproducible_and_has_32_bits(parts):
    key = randomness.key(*parts)
    assert key == randomness.key(*parts) and 0 <= key < 2**32


def test_different_purposes_have_different_keys():
    keys = {
        randomness.key(seed, name, step) for seed in range(5) for name in ("noise", "layers") for step in range(200)
    }
    assert len(keys) == 2000


def test_after_reseeding_dropout_is_the_same():
    outputs = []
    for _ in range(2):
        randomness.reseed(torch.device("cpu"), 1, "layers", 7)
        outputs.append(torch.nn.functional.dropout(torch.ones(1000), 0.5))
        torch.randn(3)
    assert torch.equal(*outputs)
