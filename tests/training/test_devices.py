"""A device that is not there, or too small, is an error with its mend."""

import pytest
import torch

from flowsci.errors import FlowsciError
from flowsci.training.devices import (
    choose_device,
    flushed_denormals,
    multiplies_bfloat16,
    out_of_memory,
)


@pytest.fixture
def gpus(monkeypatch):
    def visible(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return visible


def test_a_gpu_that_is_not_there_is_an_error(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(FlowsciError, match="CUDA_VISIBLE_DEVICES is ''"):
        choose_device("cuda")


def test_fewer_gpus_than_asked_for_are_an_error(gpus):
    gpus(1)
    assert choose_device("auto") == torch.device("cuda")
    for setting in ("cuda", "auto"):
        with pytest.raises(FlowsciError, match="ask for 2 of the device 'cuda' and 1 are visible"):
            choose_device(setting, 2)


def test_auto_falls_back_and_says_so(gpus, caplog):
    gpus(0)
    with caplog.at_level("INFO", logger="flowsci"):
        assert choose_device("auto") == torch.device("cpu")
    assert "device: cpu, as no GPU is visible" in caplog.text


def test_memory_that_does_not_suffice_is_an_error_with_the_mend():
    cpu = torch.device("cpu")
    message = r"cpu ran out of memory .*\. Buy some\.$"
    with pytest.raises(FlowsciError, match=message) as caught, out_of_memory(cpu, "Buy some."):
        torch.empty(1 << 50)
    assert "\n" not in str(caught.value)
    with pytest.raises(FlowsciError, match="out of memory"), out_of_memory(cpu, ""):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(RuntimeError, match="another"), out_of_memory(cpu, ""):
        raise RuntimeError("another")


def test_denormals_are_zero_within_the_block_alone():
    tiny = torch.full((8,), 1e-39)
    with flushed_denormals():
        assert ((tiny * 1) == 0).all()
        with flushed_denormals():
            pass
        assert ((tiny * 1) == 0).all()
    assert ((tiny * 1) > 0).all()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": False}, False),
        ({}, False),
    ],
)
def test_products_in_bfloat16_are_for_devices_made_for_them(capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert multiplies_bfloat16(torch.device("cpu")) is expected
    assert not multiplies_bfloat16(torch.device("meta"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: expected)
    assert multiplies_bfloat16(torch.device("cuda")) is expected
