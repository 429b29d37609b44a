import hashlib

import pytest

from mim_bench.errors import ConfigError
from mim_bench.files.hashing import file_sha256, protocol_hash


def test_protocol_hash_is_the_start_of_the_sha256_of_canonical_json():
    expected = hashlib.sha256(b'{"a":[1,2],"b":"x"}').hexdigest()[:12]
    assert protocol_hash({'b': 'x', 'a': (1, 2)}) == expected


@pytest.mark.parametrize('value', [float('nan'), {1, 2}, object()])
def test_protocol_hash_of_what_is_not_plain_data_raises(value):
    with pytest.raises(ConfigError, match='plain finite data'):
        protocol_hash({'a': value})


def test_protocol_hash_key_that_is_not_text_raises():
    with pytest.raises(ConfigError, match='key 1, which is not text'):
        protocol_hash({'a': [{1: 'x'}]})


def test_file_sha256_equals_hashlib(tmp_path):
    data = bytes(range(256)) * 8192  # two pieces
    (tmp_path / 'file').write_bytes(data)
    assert file_sha256(tmp_path / 'file') == hashlib.sha256(data).hexdigest()
