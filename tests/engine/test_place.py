# SPDX-License-Identifier: Apache-2.0
"""What torchrun and SLURM say in the environment. (torchrun itself: test_distributed.py.)"""

import pytest

from ifc.engine.place import Place, place_from_environment

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "gpu03",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RESTART_COUNT": "0",
}
SRUN = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[03,07]",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_GPUS_ON_NODE": "4",
    "SLURM_NTASKS": "8",
}
# What a batch script sees of `sbatch --nodes=2 --ntasks-per-node=4`, where it itself is one process.
BATCH = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "gpu[03,07]",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}


def test_torchrun():
    assert place_from_environment(TORCHRUN) == Place(3, 4, 1, 2, "env://", "torchrun")
    assert place_from_environment(TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "2"}).is_restarted
    assert place_from_environment(SRUN | TORCHRUN).says == "torchrun"  # which srun has started


def test_srun():
    assert place_from_environment(SRUN) == Place(5, 8, 1, 4, "tcp://gpu03:24569", "srun", num_gpus=4)
    own = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"}
    assert place_from_environment(SRUN | own).url == "tcp://10.0.0.1:4000"


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("localhost", "localhost"),
        ("gpu03,gpu07", "gpu03"),
        ("gpu[003-004,007],login1", "gpu003"),
        ("rack2-gpu[10,12-14]", "rack2-gpu10"),
        ("a[1-2]b[07-08]-ib", "a1b07-ib"),
    ],
)
def test_first_node(nodes, first):
    assert place_from_environment(SRUN | {"SLURM_STEP_NODELIST": nodes}).url.startswith(f"tcp://{first}:")


@pytest.mark.parametrize(
    ("environ", "num_machines"),
    [
        ({}, 1),
        (BATCH, 1),
        (BATCH | {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"}, 1),  # salloc's shell is a step
        # srun starts detectron2's launcher once a node.
        (SRUN | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}, 2),
    ],
)
def test_a_process_that_starts_the_others(environ, num_machines):
    assert place_from_environment(environ, num_machines) is None


@pytest.mark.parametrize(
    ("environ", "change", "message"),
    [
        (TORCHRUN, {"WORLD_SIZE": None}, "WORLD_SIZE: found None"),
        (TORCHRUN, {"RANK": None}, "RANK: found None"),
        (TORCHRUN, {"LOCAL_WORLD_SIZE": None}, "LOCAL_WORLD_SIZE: found None"),
        (TORCHRUN, {"MASTER_ADDR": None}, "MASTER_ADDR: not in the environment"),
        (TORCHRUN, {"MASTER_PORT": "many"}, "MASTER_PORT: found 'many'"),
        (TORCHRUN, {"RANK": "4"}, "torchrun: found rank 4 of 4"),
        (TORCHRUN, {"LOCAL_WORLD_SIZE": "3"}, "torchrun: found rank 3 of 4, which is 1 of 3 on its machine"),
        (SRUN, {"SLURM_STEP_NUM_NODES": "3"}, "srun: found 8 tasks on 3 nodes"),
        (SRUN, {"SLURM_LOCALID": "2"}, "srun: found rank 5 of 8, which is 2 of 4"),  # --distribution=cyclic
        (SRUN, {"SLURM_STEP_NODELIST": None}, "MASTER_ADDR, SLURM_STEP_NODELIST: not in the environment"),
    ],
)
def test_an_environment_that_makes_no_sense(environ, change, message):
    changed = {name: value for name, value in (environ | change).items() if value is not None}
    with pytest.raises(ValueError, match=f"^{message}"):
        place_from_environment(changed)
