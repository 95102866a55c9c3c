# SPDX-License-Identifier: Apache-2.0
"""How the videos of an evaluation are divided among processes."""

from hypothesis import given
from hypothesis import strategies as st

from ifc.data.shares import balanced_shares


@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 12))
def test_every_item_is_in_one_share_and_no_share_costs_much_more_than_is_needed(costs, num_shares):
    shares = balanced_shares(costs, num_shares)
    assert len(shares) == num_shares
    assert sorted(index for share in shares for index in share) == list(range(len(costs)))
    assert all(share == sorted(share) for share in shares)
    sums = [sum(costs[index] for index in share) for share in shares]
    # The last that a share got, its cheapest, went to it when no other had less.
    for share, cost in zip(shares, sums, strict=True):
        assert cost - min((costs[index] for index in share), default=0) <= min(sums)


def test_long_videos_are_spread():
    assert balanced_shares([90, 80, 10, 10, 10, 60], 3) == [[0], [1, 4], [2, 3, 5]]
    assert balanced_shares([5, 5, 5], 2) == [[0, 2], [1]]
