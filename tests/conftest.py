# SPDX-License-Identifier: Apache-2.0
"""Settings that all tests share."""

import os

import pytest
from hypothesis import settings

# The same examples on every run, and no time limit for one: the machines that run the tests are small and shared.
settings.register_profile("ifc", deadline=None, derandomize=True)
settings.load_profile("ifc")

# The order in which torch sums depends on the number of threads, which by default is the machine's number of cores.
# Set before torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def traced_graphs(monkeypatch) -> list:
    """The graphs that torch.compile traces in a test. They run as traced: the compiler's own output takes minutes."""
    import torch  # not before OMP_NUM_THREADS is set

    graphs = []

    def run_traced(graph, _):
        graphs.append(graph)
        return graph.forward

    compile_function = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode, **kw: compile_function(f, backend=run_traced, **kw))
    torch._dynamo.reset()
    return graphs
