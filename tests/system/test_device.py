"""Precision, memory and denormals of a process."""

import platform

import pytest
import torch

from gan.system import device


@pytest.mark.parametrize(("bf16_seconds", "is_warned"), [(0.5, False), (1.0, False), (1.5, True)])
def test_bf16_is_warned_about_where_its_matrix_products_are_slower(
    make_run, monkeypatch, caplog, bf16_seconds, is_warned
):
    monkeypatch.setattr(device, "matmul_seconds", lambda dtype: bf16_seconds if dtype == torch.bfloat16 else 1.0)
    make_run()
    assert not caplog.text
    make_run("precision=bf16")
    assert ("1.5 times" in caplog.text and "precision=fp32" in caplog.text) is is_warned


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings")
def test_memory_that_a_step_frees_is_kept_for_the_next(process):
    script = """
import resource, torch
from gan.system.device import keep_freed_memory
def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16_000_000)  # 64 MB, or 15,625 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
default = page_faults()
keep_freed_memory()
page_faults()
print(default, page_faults())
"""
    default, kept = map(int, process("-c", script).stdout.split())
    assert kept < default / 10


def test_denormals_are_flushed_to_zero_in_every_thread(process):
    script = """
import torch
from gan.system.device import flush_denormals
flush_denormals()
torch.set_num_threads(2)
smallest = torch.ones(1_000_000, dtype=torch.int32).view(torch.float32)  # 1.4e-45
print(torch.set_flush_denormal(True), (smallest * 1).view(torch.int32).count_nonzero().item())
"""
    supported, nonzero = process("-c", script).stdout.split()
    if supported == "False":
        pytest.skip("this processor cannot flush denormals")
    assert nonzero == "0"
