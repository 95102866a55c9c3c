# SPDX-License-Identifier: Apache-2.0
"""Work divided among processes."""

import heapq
from collections.abc import Sequence


def balanced_shares(costs: Sequence[float], num_shares: int) -> list[list[int]]:
    """Divide items so that all shares cost about the same: the costliest first, to the share that costs least so far.

    (Longest processing time first; R. L. Graham, Bounds on multiprocessing timing anomalies, 1969: the costliest share
    is at most 4/3 of what is possible.)

    Returns:
        The indices of the items of each share, ascending; none where there are more shares than items.
    """
    shares: list[list[int]] = [[] for _ in range(num_shares)]
    loads = [(0.0, share) for share in range(num_shares)]
    for index in sorted(range(len(costs)), key=lambda index: -costs[index]):
        load, share = loads[0]
        shares[share].append(index)
        heapq.heapreplace(loads, (load + costs[index], share))
    return [sorted(share) for share in shares]
