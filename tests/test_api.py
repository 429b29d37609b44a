"""``mim_bench.evaluate``: records of plain modules, as the command makes them of checkpoints."""

import subprocess
import sys

import pytest
import torch
from PIL import Image
from torch import nn

import mim_bench
from mim_bench.conversion.files import state_sha256, write_checkpoint
from mim_bench.data.toy import make_toy
from mim_bench.errors import ConfigError, TrainingError
from mim_bench.testing.toy_suites import SIZE


class Pyramid(nn.Module):
    """Maps of strides 4, 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        sizes = ((3, 8, 4), (8, 16, 2), (16, 32, 2), (32, 64, 2))
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(old, new, s, s), nn.GroupNorm(1, new)) for old, new, s in sizes
        )

    def forward(self, x):
        maps = []
        for stage in self.stages:
            x = stage(x).relu()
            maps.append(x)
        return maps


class Vectors(nn.Module):
    """One vector an image."""

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 8, 16, 16)

    def forward(self, x):
        return self.net(x).mean((2, 3))


def evaluate(backbone, tasks, toy_root, out, **settings):
    return mim_bench.evaluate(backbone, tasks, suite='smoke', data=toy_root, out=out, **settings)


def test_import_stays_light():
    code = 'import sys, mim_bench; print("torch" in sys.modules, mim_bench.__version__)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.split()[0] == 'False', done.stderr
    with pytest.raises(AttributeError, match='has no attribute'):
        mim_bench.absent  # noqa: B018


@pytest.mark.slow
def test_modules_and_checkpoints_have_records_of_one_protocol(toy_root, tmp_path):
    torch.manual_seed(0)
    module = Pyramid().train()
    state = torch.get_rng_state()
    records = evaluate(
        module, ['in1k-knn'], toy_root, tmp_path, name='mine', facts={'method': 'mae', 'labels': []}
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert module.training
    knn, linear = records
    assert (knn.task, linear.task, knn.status) == ('in1k-knn', 'in1k-linear', 'done')
    about = knn.checkpoint
    assert (about.id, about.backbone, about.method, about.labels) == ('mine', 'Pyramid', 'mae', [])
    assert about.sha256 == state_sha256(module.state_dict())
    assert about.params == sum(p.numel() for p in module.parameters())
    assert 'its SHA-256 is of its state dict' in about.notes[0]
    others = evaluate('a=timm:test_vit', 'in1k-knn', toy_root, tmp_path)
    assert [r.protocol.hash for r in others] == [r.protocol.hash for r in records]
    vectors = evaluate(Vectors(), 'in1k-knn', toy_root, tmp_path)
    assert vectors[0].protocol.hash == knn.protocol.hash


@pytest.mark.parametrize(
    ('module', 'task', 'missing'),
    [
        (Vectors(), 'in1k-ft', 'returns one vector an image, and this task needs maps'),
        (nn.Conv2d(3, 8, 16, 16), 'ade20k-upernet', 'too shallow for this protocol'),
        (nn.Linear(64, 8), 'ade20k-upernet', 'takes no image of|too shallow'),
    ],
)
def test_task_that_a_module_cannot_do_is_refused_with_what_is_missing(
    module, task, missing, toy_root, tmp_path
):
    with pytest.raises(ConfigError, match=missing):
        evaluate(module, [task], toy_root, tmp_path)
    assert not (tmp_path / 'results').exists()


def test_features_leave_a_module_as_it_was_and_refuse_what_they_cannot_read():
    class Counting(Pyramid):
        def __init__(self):
            super().__init__()
            self.register_buffer('seen', torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            return super().forward(x)

    module, image = Counting().train(), Image.new('RGB', (64, 48), (200, 10, 60))
    found = mim_bench.features(torch.compile(module, backend='eager'), image, size=64)
    assert (found.features.shape, module.training, module.seen.item()) == ((1, 64), True, 0)
    for images, told in (([], 'is empty'), ([[0]], 'holds a list')):
        with pytest.raises(ConfigError, match=told):
            mim_bench.features(module, images)
    with pytest.raises(ConfigError, match='neither a module'):
        mim_bench.features(Pyramid, image)


class Drawing(Vectors):
    """Draws in evaluation mode."""

    def forward(self, x):
        out = super().forward(x)
        return out + torch.rand_like(out)


class Centred(Vectors):
    """Its features depend on the other images of the batch."""

    def forward(self, x):
        out = super().forward(x)
        return out - out.mean(0)


class Tagged(Vectors):
    """Its state is more than tensors."""

    def get_extra_state(self):
        return {'recipe': 'mae'}

    def set_extra_state(self, state):
        pass


@pytest.mark.parametrize(
    ('module', 'told'),
    [
        (Drawing(), 'other features for an image alone than in a batch'),
        (Centred(), 'other features for an image alone than in a batch'),
        (Tagged(), "state dict holds '_extra_state', which is no tensor"),
        (nn.LazyConv2d(8, 16, 16), 'has lazy layers without weights'),
    ],
    ids=lambda value: '' if isinstance(value, str) else type(value).__name__,
)
def test_features_that_no_number_can_be_made_of_are_refused(module, told):
    with pytest.raises(ConfigError, match=told):
        mim_bench.features(module, Image.new('RGB', (64, 64)), size=64)


@pytest.mark.parametrize(
    ('settings', 'told'),
    [
        ({'seeds': ()}, 'seeds=.*is empty'),
        ({'seeds': 3}, 'no list of different seeds'),
        ({'seeds': (0, 0)}, 'no list of different seeds'),
        ({'seeds': (1.5,)}, 'seeds=1.5: give a whole number'),
        ({'tasks': [None]}, 'give names of tasks'),
        ({'tasks': None}, 'give names of tasks'),
        ({'data': ['a', 'b']}, 'give a folder, or folders by name'),
        ({'data': {'in1k': None}}, 'give a folder, or folders by name'),
        ({'facts': ['mae']}, 'facts=.* give a dictionary'),
        ({'options': 'seed=1'}, 'options=.* give a dictionary'),
        ({'num_prefix_tokens': -1}, 'num_prefix_tokens=-1: give a whole number'),
        ({'out': __file__}, 'test_api.py is a file. Give a folder'),
        ({'suite': None}, 'give the name of a suite'),
        ({'out': 3}, 'and a folder'),
        ({'name': ''}, 'cannot name files'),
        ({'name': 'x' * 300}, 'cannot name files'),
        ({'name': 'a,b'}, 'cannot name files'),
        ({'name': 'a/b'}, 'cannot name files'),
        ({'data': {'imagenet': '.'}}, 'no task reads imagenet. Known: ade20k'),
    ],
)
def test_arguments_of_evaluate_are_checked(settings, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        mim_bench.evaluate(
            Pyramid(), **{'tasks': 'in1k-knn', 'suite': 'smoke', 'out': tmp_path, **settings}
        )


@pytest.mark.parametrize(
    ('settings', 'told'),
    [
        ({'size': '64'}, "size='64': give a whole number, 1 or more"),
        ({'size': 64.0}, 'size=64.0: give a whole number'),
        ({'batch_size': 0}, 'batch_size=0: give a whole number, 1 or more'),
        ({'workers': None}, 'workers=None: give a whole number, 0 or more'),
        ({'num_prefix_tokens': 'x'}, "num_prefix_tokens='x': give a whole number"),
        ({'device': 'meta'}, "device 'meta'"),
        ({'device': 1.5}, "device '1.5'"),
        ({'images': None}, 'holds a NoneType'),
        ({'images': Image.new('RGB', (0, 0))}, 'Give images with pixels'),
    ],
)
def test_arguments_of_features_are_checked(settings, told):
    with pytest.raises(ConfigError, match=told):
        mim_bench.features(Pyramid(), **{'images': Image.new('RGB', (64, 64)), **settings})


def test_another_module_of_a_name_is_refused(toy_root, tmp_path):
    (tmp_path / 'checkpoints').mkdir()
    write_checkpoint(
        {'state_dict': {}, 'meta': {'origin_sha256': 'of another'}},
        tmp_path / 'checkpoints' / 'mine.pth',
    )
    with pytest.raises(ConfigError, match="results of another module named 'mine'"):
        evaluate(Pyramid(), ['in1k-knn'], toy_root, tmp_path, name='mine')


@pytest.mark.slow
def test_failed_run_is_raised_and_recorded(toy_root, tmp_path):
    class Torn(Pyramid):
        def forward(self, x):
            return [out * (float('nan') if len(x) > 1 else 1) for out in super().forward(x)]

    with pytest.raises(TrainingError, match='not finite'):
        evaluate(Torn(), ['in1k-knn'], toy_root, tmp_path)
    assert '"failed"' in next((tmp_path / 'results').rglob('record.json')).read_text()


@pytest.mark.slow
def test_module_runs_through_the_dense_tasks_from_its_own_fine_tuning(tmp_path):
    make_toy(tmp_path / 'data', size=SIZE)
    records = evaluate(Pyramid(), ['ade20k-upernet', 'coco-mask-rcnn'], tmp_path / 'data', tmp_path)
    assert {record.task for record in records} == {'in1k-ft', 'ade20k-upernet', 'coco-mask-rcnn'}
    assert all(record.load.share == 1 for record in records)
