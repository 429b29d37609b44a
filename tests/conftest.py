"""Fixtures for all tests, and which files run in one process where several share the suite."""

import gc
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mim_bench  # noqa: F401  before mmcv: it makes mmcv._ext importable

# Imports make nothing that could be collected; looking for it takes a tenth of their time.
gc.disable()

# Files that share what takes seconds to make, so they run in one worker of xdist: all configs
# resolved; a server that forks processes with everything imported; a suite that has run. The
# longest group comes first, so that no worker is left alone with it at the end.
TOGETHER = {
    'processes': (
        'tests/evaluation/test_distributed_probes.py',
        'tests/engine/test_failures.py',
        'tests/engine/test_fsdp.py',
        'tests/evaluation/test_iou_metric.py',
        'tests/engine/test_one_training.py',
        'tests/engine/test_resume.py',
        'tests/engine/test_same_curve.py',
        'tests/methods/test_method_training.py',
        'tests/suite/test_forking.py',
    ),
    'fake gpu': (
        'tests/profiling/test_estimate.py',
        'tests/profiling/test_fake_gpu.py',
        'tests/profiling/test_fake_networks.py',
        'tests/profiling/test_trial.py',
    ),
    'configs': (
        'tests/test_configs.py',
        'tests/test_config_runs.py',
        'tests/test_classification_recipes.py',
        'tests/test_detection_recipes.py',
        'tests/recipe/test_protocol.py',
        'tests/report/test_recipe_facts.py',
        'tests/suite/test_suite_tasks.py',
    ),
    'recipes': (
        'tests/parity/test_augmentation_facts.py',
        'tests/parity/test_augmented_batches.py',
        'tests/parity/test_recipes.py',
    ),
    'suite': (
        'tests/cli/test_identity_command.py',
        'tests/cli/test_run_command.py',
        'tests/docs/test_page_walks.py',
    ),
}
GROUP_OF = {file: group for group, files in TOGETHER.items() for file in files}
# The last file, and how much was imported, for which `_frozen_imports` froze what there was.
FROZEN: list[tuple[Path, int]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups first; the order inside a file stays. All imports are done."""
    rank = {group: number for number, group in enumerate(TOGETHER)}
    items.sort(key=lambda item: rank.get(GROUP_OF.get(item.nodeid.partition('::')[0]), len(rank)))
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws does not depend on the tests that ran before it in this process."""
    random.seed(0)
    np.random.seed(0)
    if 'torch' in sys.modules:
        sys.modules['torch'].manual_seed(0)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """``--dist loadfile``: a file or a group of files a worker at a time."""
    if config.getoption('dist') != 'loadfile':
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByGroup(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition('::')[0]
            return GROUP_OF.get(file, file)

    return ByGroup(config, log)


@pytest.fixture(autouse=True)
def _fresh_singletons() -> Iterator[None]:
    """A run in this process leaves its scope, logger and visualizer to none of the next tests."""
    yield
    # Not imported here: most tests need neither.
    for module, name in (
        ('mmengine.logging', 'MMLogger'),
        ('mmengine.logging', 'MessageHub'),
        ('mmengine.registry', 'DefaultScope'),
        ('mmengine.visualization', 'Visualizer'),
    ):
        if module in sys.modules:
            getattr(sys.modules[module], name)._instance_dict.clear()


@pytest.fixture(autouse=True)
def _frozen_imports(request: pytest.FixtureRequest) -> None:
    """What is imported stays, so the garbage collection of every data set need not look there.

    Frozen for each file, and again where a test before has imported libraries.
    """
    seen = request.path, len(sys.modules) // 20
    if seen not in FROZEN:
        gc.collect()
        gc.freeze()
        FROZEN[:] = [seen]


@pytest.fixture(autouse=True, scope='session')
def _plain_configs() -> Iterator[None]:
    """What each run reads and logs takes as long as the shortest trainings."""
    if 'mmengine.runner' not in sys.modules:
        yield
        return
    from mim_bench.testing import demo_runs

    with (
        demo_runs.plain_config_text(),
        demo_runs.configs_read_once(),
        demo_runs.environment_read_once(),
    ):
        yield


@pytest.fixture(autouse=True, scope='session')
def _forked_processes(_plain_configs: None) -> None:
    """Processes that tests fork have what is imported now, and nothing of other tests."""
    if 'mim_bench.testing.processes' not in sys.modules:
        return
    from mim_bench.testing.processes import fork_server

    # The worker that has the group of processes; the others find what it compiled on the disk.
    if os.environ.get('PYTEST_XDIST_WORKER', 'gw0') == 'gw0':
        from mim_bench.data.fused.pipeline import prepare

        prepare()
    fork_server()


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest embedded dataset: imagenet 40/20, ade 8/4, coco 8/4. Read it only.

    Each xdist worker draws its own (a second), so no two write the same folder.
    """
    from mim_bench.data.toy import SIZES, make_toy

    root = tmp_path_factory.mktemp('toy') / 'data'
    make_toy(root, size=SIZES['tiny'])
    return root


@pytest.fixture(scope='session')
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What a suite starts from: a data set, and a checkpoint of a small Swin. Read them only."""
    from mim_bench.testing.toy_suites import write_inputs

    return write_inputs(tmp_path_factory.mktemp('inputs'))
