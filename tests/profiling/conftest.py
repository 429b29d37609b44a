"""The processes of the fake GPU are forked from one that has imported everything."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import nullcontext
from unittest import mock

import pytest

import mim_bench.testing.processes  # noqa: F401  the server that has everything imported
from mim_bench.profiling import fake_step


@pytest.fixture(autouse=True, scope='session')
def forked() -> Iterator[None]:
    context = multiprocessing.get_context('forkserver')
    with (
        mock.patch.object(fake_step, 'get_context', return_value=context),
        mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=''),
    ):
        yield


@pytest.fixture(scope='session')
def process(forked: None) -> Iterator[fake_step.OwnProcess]:
    """One process with the fake GPU for all tests: its first network takes seconds."""
    with fake_step.OwnProcess() as process:
        yield process


@pytest.fixture
def in_that_process(process: fake_step.OwnProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would start a process for one call takes the one for all tests."""
    monkeypatch.setattr(fake_step, 'OwnProcess', lambda: nullcontext(process))
