"""A training cut off as by a kill."""

import pytest

from defectlib import runtime
from defectlib.rivals import adversarial


class CutOff(Exception):
    """Stands for a kill."""


@pytest.fixture
def cut_off(monkeypatch):
    """``cut_off(run, at)``: run a training and cut it off once it has made ``at`` steps."""
    progress = runtime.progress

    def cut(run, at):
        def breaking(*args, **kwargs):
            bar, done = progress(*args, **kwargs), []

            def counted(n=1):
                done.append(n)
                if len(done) == at:
                    raise CutOff

            bar.update = counted
            return bar

        with monkeypatch.context() as patched:
            patched.setattr(adversarial.runtime, "progress", breaking)
            with pytest.raises(CutOff):
                run()

    return cut
