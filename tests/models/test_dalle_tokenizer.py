import pytest
import torch

from mim_bench.errors import CheckpointError, ConfigError
from mim_bench.models.dalle_tokenizer import DalleTokenizer, TokenizerDataPreprocessor

SIZES = dict(n_hid=4, n_blk_per_group=1, vocab_size=16)


def pretrained(checkpoint):
    return DalleTokenizer(**SIZES, init_cfg=dict(type='Pretrained', checkpoint=checkpoint))


def test_dalle_tokenizer_without_a_file_raises_when_it_is_initialised():
    with pytest.raises(ConfigError, match=r'init_cfg\.checkpoint=FILE'):
        pretrained(None).init_weights()


def test_dalle_tokenizer_takes_the_weights_of_the_file(tmp_path):
    other = DalleTokenizer(**SIZES)
    torch.save({'state_dict': other.state_dict()}, tmp_path / 'dalle.pth')
    tokenizer = pretrained(str(tmp_path / 'dalle.pth'))
    tokenizer.init_weights()
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(tokenizer(image), other(image))


def test_dalle_tokenizer_incomplete_file_raises(tmp_path):
    state = DalleTokenizer(**SIZES).state_dict()
    state.popitem()
    torch.save({'state_dict': state}, tmp_path / 'dalle.pth')
    with pytest.raises(CheckpointError, match='is no checkpoint of'):
        pretrained(str(tmp_path / 'dalle.pth')).init_weights()


def test_dalle_tokenizer_is_frozen_and_may_be_untrained_on_purpose():
    tokenizer = DalleTokenizer(**SIZES)
    tokenizer.init_weights()
    assert not any(parameter.requires_grad for parameter in tokenizer.parameters())


def test_tokenizer_preprocessor_normalises_each_view_in_its_own_way():
    preprocessor = TokenizerDataPreprocessor(mean=[0.0] * 3, std=[255.0] * 3)
    views = [torch.full((2, 3, 4, 4), 255.0), torch.full((2, 3, 2, 2), 255.0)]
    first, second = preprocessor({'inputs': views, 'data_samples': None})['inputs']
    assert (first == 1).all()
    torch.testing.assert_close(second, torch.full((2, 3, 2, 2), 0.9))


def test_tokenizer_preprocessor_single_images_are_the_networks():
    preprocessor = TokenizerDataPreprocessor(mean=[0.0] * 3, std=[255.0] * 3)
    images = torch.full((2, 3, 4, 4), 255.0)
    assert (preprocessor({'inputs': images, 'data_samples': None})['inputs'] == 1).all()
