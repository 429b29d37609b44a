import pytest
import torch

from mim_bench.conversion.key_table import KeyTable
from mim_bench.errors import ConversionError

TABLE = KeyTable(
    'toy',
    (
        (r'blocks\.0\.(.+)', r'backbone.first.\1'),
        (r'blocks\.(\d+)\.(\w+)', lambda k, part: f'backbone.stages.{int(k) - 1}.{part}'),
        (r'mask_token', None),
        (r'head\.(.+)', r'head.fc.\1'),
    ),
)


def weights(*keys):
    return {key: torch.full((1,), float(i)) for i, key in enumerate(keys)}


def test_key_table_renames_splits_and_drops():
    converted = TABLE.apply(weights('blocks.0.a', 'blocks.3.b', 'mask_token', 'head.bias'), 'f.pth')
    assert {k: v.item() for k, v in converted.backbone.items()} == {
        'backbone.first.a': 0.0,
        'backbone.stages.2.b': 1.0,
    }
    assert {k: v.item() for k, v in converted.rest.items()} == {'head.fc.bias': 3.0}
    assert converted.dropped == ['mask_token']


def test_key_table_unknown_keys_are_all_listed():
    with pytest.raises(
        ConversionError, match=r"f\.pth: 2 keys have no rule in source 'toy': odd, blocks\.x\."
    ):
        TABLE.apply(weights('odd', 'blocks.0.a', 'blocks.x'), 'f.pth')


def test_key_table_many_unknown_keys_are_counted():
    with pytest.raises(ConversionError, match=r'25 keys .* and 5 more'):
        TABLE.apply(weights(*(f'odd{i}' for i in range(25))), 'f.pth')


def test_key_table_part_of_a_key_does_not_match():
    with pytest.raises(ConversionError, match=r'1 keys have no rule .*: my_mask_token'):
        TABLE.apply(weights('my_mask_token'), 'f.pth')


def test_key_table_two_keys_with_one_target_raise():
    table = KeyTable('toy', ((r'[ab]', 'backbone.x'),))
    with pytest.raises(ConversionError, match=r"f\.pth: two keys become 'backbone\.x'.*'b'"):
        table.apply(weights('a', 'b'), 'f.pth')
