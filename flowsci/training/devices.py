"""Which device a stage runs on."""

import logging
import os

import torch

from flowsci.errors import FlowsciError

logger = logging.getLogger("flowsci")


def choose_device(setting: str) -> torch.device:
    """Give the device that a setting names; `auto` takes a GPU where there is one, and says so.

    Raises `FlowsciError` where a GPU is asked for and none is visible.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    if setting in available and not available[setting]:
        raise FlowsciError(
            f"The settings ask for the device '{setting}' and none is visible "
            f"(CUDA_VISIBLE_DEVICES is {visible!r}). Give the job a GPU, or set device to auto."
        )
    if setting == "auto":
        setting = next((name for name, there in available.items() if there), "cpu")
    logger.info("device: %s (CUDA_VISIBLE_DEVICES is %s)", setting, visible)
    return torch.device(setting)
