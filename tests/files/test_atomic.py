"""Files are whole or absent, and a disk that refuses is one message."""

import pytest
import torch

from mim_bench.conversion.files import write_checkpoint
from mim_bench.data.archives import pack
from mim_bench.errors import MimBenchError
from mim_bench.evaluation.feature_file import FeatureFile
from mim_bench.files.atomic import write_atomically
from mim_bench.testing.disk import small_disk


@pytest.fixture
def read_only(tmp_path):
    with small_disk(tmp_path / 'disk', 'ro') as folder:
        yield folder


def _write_features(folder, path):
    with FeatureFile(path / 'a.npz', ['one']) as file:
        file.append(torch.ones(1, 4))


@pytest.mark.parametrize(
    'write',
    [
        lambda folder, disk: write_atomically({disk / 'a.txt': b'a'}),
        lambda folder, disk: write_checkpoint({'state_dict': {}}, disk / 'a.pth'),
        lambda folder, disk: pack(folder, disk / 'a.zip', ['a.txt']),
        _write_features,
    ],
    ids=['text', 'checkpoint', 'archive', 'features'],
)
def test_read_only_disk_is_one_message(write, read_only, tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    (images / 'a.txt').write_text('a')
    with pytest.raises(MimBenchError, match=r'Read-only file system.*another folder'):
        write(images, read_only)
