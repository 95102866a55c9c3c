# SPDX-License-Identifier: Apache-2.0
"""How the processes of a run find each other, before there is a process group."""

import secrets
import sys
import time
from datetime import timedelta

from torch import distributed

from .place import Place

MEETING_TIME = timedelta(minutes=5)  # until all processes are there


def meet(place: Place) -> distributed.Store:
    """Wait until all processes of a run are there. Returns what they share, and what earlier ones have no part in:
    torchrun keeps one store for all attempts, where a process would else find the addresses of those that are gone.

    Raises:
        SystemExit: they cannot meet, or are not all there within MEETING_TIME.
    """
    try:
        store, _, _ = next(distributed.rendezvous(place.url, place.rank, place.world_size, timeout=MEETING_TIME))
        return _invite(store, place) if place.rank == 0 else _ask(store, place)
    except (RuntimeError, ValueError) as error:  # the address is taken or is none, or nobody is there
        reason = str(error).splitlines()[0]
        sys.exit(f"error: {place.says}: the processes cannot meet at {place.url}: {reason}")


def was_restarted(store: distributed.Store) -> bool:
    """Whether any process that came was started again after a loss, which torchrun tells those of its machine alone."""
    return store.get("was_restarted") == b"True"


def _ask(store: distributed.Store, place: Place) -> distributed.Store:
    """Ask under a name that no earlier process has had, so that only a process 0 that is there can answer."""
    name = secrets.token_hex(8)
    store.set(f"asking/{place.rank}", name)
    store.wait([f"answer/{name}"], MEETING_TIME)
    meeting = distributed.PrefixStore(store.get(f"answer/{name}").decode(), store)
    meeting.set(f"here/{place.rank}", str(place.is_restarted))
    meeting.wait(["was_restarted"], MEETING_TIME)
    return meeting


def _invite(store: distributed.Store, place: Place) -> distributed.Store:
    """Answer all who ask or once asked, until all are there."""
    name = secrets.token_hex(8)
    meeting = distributed.PrefixStore(name, store)
    missing, others = list(range(1, place.world_size)), range(1, place.world_size)
    deadline = time.monotonic() + MEETING_TIME.total_seconds()
    while missing:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(missing)} of {place.world_size} did not come: {', '.join(map(str, missing))}")
        for rank in missing:
            if store.check([f"asking/{rank}"]):
                store.set(f"answer/{store.get(f'asking/{rank}').decode()}", name)
        time.sleep(0.05)
        missing = [rank for rank in missing if not meeting.check([f"here/{rank}"])]
    restarted = place.is_restarted or any(meeting.get(f"here/{rank}") == b"True" for rank in others)
    meeting.set("was_restarted", str(restarted))
    return meeting
