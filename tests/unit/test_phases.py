"""Phases are recorded while a recorder is there, and cost nothing else."""

from __future__ import annotations

import pytest

from kplan.phases import PHASE, phase, start_recording, stop_recording


def test_a_phase_is_recorded_with_its_times_also_when_it_fails() -> None:
    recorder = start_recording(1.0)
    try:
        with phase("outer"), pytest.raises(ValueError), phase("inner"):
            raise ValueError
    finally:
        stop_recording()
    with phase("later"):
        pass
    assert [(span.name, span.kind) for span in recorder.spans] == [("inner", PHASE), ("outer", PHASE)]
    inner, outer = recorder.spans
    assert outer.started <= inner.started <= inner.ended <= outer.ended
    assert outer.seconds >= inner.seconds >= 0
