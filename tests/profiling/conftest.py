"""The processes of the fake GPU are forked from one that has imported everything."""

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing import forkserver
from unittest import mock

import pytest

from mim_bench.profiling import estimate, fake_step
from mim_bench.testing.processes import PRELOADED


@pytest.fixture(autouse=True, scope='session')
def forked() -> Iterator[None]:
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([*PRELOADED, 'mmseg.models', estimate.__name__])
    with (
        mock.patch.object(fake_step, 'get_context', return_value=context),
        mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=''),
    ):
        forkserver.ensure_running()
        yield


@pytest.fixture(scope='session')
def process(forked: None) -> Iterator[fake_step.OwnProcess]:
    """One process with the fake GPU for all tests: its first network takes seconds."""
    with fake_step.OwnProcess() as process:
        yield process
