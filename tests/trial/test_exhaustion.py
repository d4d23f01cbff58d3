"""What running out of memory is raised as is told from all else."""

import pytest
import torch

from trial.exhaustion import if_memory, is_exhaustion


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
