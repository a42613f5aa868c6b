"""Whether this machine computes in bfloat16 by instructions of its own."""

from __future__ import annotations

import torch

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")  # of Intel and AMD; of ARM


def computes_bfloat16() -> bool:
    """Return whether bfloat16 is fast here; without instructions for it, a CPU emulates it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    if hasattr(torch.cpu, "get_capabilities"):
        known = torch.cpu.get_capabilities()
        return any(known.get(name, False) for name in _INSTRUCTIONS)
    return torch.cpu._is_avx512_bf16_supported()  # torch before 2.10 knows only this
