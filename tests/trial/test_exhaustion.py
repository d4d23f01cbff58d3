"""What running out of memory is raised as is told from all else."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trial.exhaustion import give_back, if_memory, is_exhaustion


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
        ),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"),
    ],
)
def test_every_way_of_running_out_of_memory_is_known(error: BaseException) -> None:
    def fail() -> None:
        raise error

    assert is_exhaustion(error)
    assert if_memory(fail) is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        ValueError("CUDA error: out of memory"),
    ],
)
def test_no_other_failure_passes_for_it(error: BaseException) -> None:
    assert not is_exhaustion(error)


on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries are not asked"
)


def resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@on_glibc
def test_what_is_free_goes_back_to_the_system() -> None:
    size, count = 100_000, 2_000  # under glibc's threshold for memory of its own
    held = [bytes(size) for _ in range(count)]
    kept = held[
        -1
    ]  # on top of the heap: what lies below it is not given back by itself
    full = resident()
    held.clear()
    give_back()
    assert resident() < full - size * count // 2
    assert len(kept) == size


PAGES = """
import resource
from trial.exhaustion import give_back, hold_on

def faults():
    began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        bytearray(50_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began

before = faults()
hold_on()
kept = faults()
give_back()
print(before, kept, faults())
"""


@on_glibc
def test_freed_memory_is_kept_for_the_next_step() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PAGES], capture_output=True, check=True, text=True
    )
    before, kept, after = map(int, told.stdout.split())
    assert kept < before / 4
    assert after > before / 2
