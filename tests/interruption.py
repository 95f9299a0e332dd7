"""Sampling that is interrupted once, and watched."""

from __future__ import annotations

from types import ModuleType

import pytest


def cut_once(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, after: int) -> list[range]:
    """Let the function ``name`` of ``module`` be interrupted once, when it has drawn ``after`` batches.

    Returns:
        The batches that it drew, its third argument, as they come.
    """
    draw, drawn, cuts = getattr(module, name), [], []

    def watched(*arguments):
        if len(drawn) == after and not cuts:
            cuts.append(after)
            raise KeyboardInterrupt
        drawn.append(arguments[2])
        return draw(*arguments)

    monkeypatch.setattr(module, name, watched)
    return drawn
