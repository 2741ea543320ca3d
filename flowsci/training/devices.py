"""Which device a stage runs on, and what to say when its memory is too small."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from flowsci.errors import FlowsciError

logger = logging.getLogger("flowsci")


def choose_device(setting: str, count: int = 1) -> torch.device:
    """Give the device that a setting names; `auto` takes a GPU where there is one, and says so.

    `count` of its kind are wanted; on the CPU any number is there. Raises `FlowsciError` where
    too few GPUs are visible.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    found = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    chosen = setting
    if setting == "auto":
        chosen = next((name for name, there in found.items() if there), "cpu")
    if found.get(chosen, count) < count:
        raise FlowsciError(
            f"The settings ask for {count} of the device '{chosen}' and {found[chosen]} are "
            f"visible (CUDA_VISIBLE_DEVICES is {visible!r}). Give the job the GPUs, or set device "
            "to auto and devices to 1."
        )
    fallback = ", as no GPU is visible" if (setting, chosen) == ("auto", "cpu") else ""
    logger.info("device: %s%s (CUDA_VISIBLE_DEVICES is %s)", chosen, fallback, visible)
    return torch.device(chosen)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Say whether a device has instructions for products of matrices in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Count numbers too small for full precision as zero on the CPU, within the block.

    The gradients of unlikely modes are such numbers, and matrix products of them take ten times as
    long.
    """
    before = (torch.tensor(1e-39) * 1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def out_of_memory(device: torch.device, mend: str) -> Iterator[None]:
    """Turn an allocation that failed within the block into `FlowsciError` with the mend."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # the CPU's allocator has no error class of its own
        kinds = (torch.OutOfMemoryError, MemoryError)
        if not isinstance(error, kinds) and "can't allocate memory" not in str(error):
            raise
        reason = str(error).partition("\n")[0]
        raise FlowsciError(f"The device {device} ran out of memory ({reason}). {mend}") from None
