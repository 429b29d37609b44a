import pytest
import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.models.necks.map_norms import MapBatchNorm, StageNorm, StageProjection


def test_stage_norm_normalises_the_channels_of_each_map():
    norm = StageNorm([4, 8])
    maps = [torch.randn(2, 4, 6, 5), torch.randn(2, 8, 3, 2)]
    for out, x in zip(norm(maps), maps, strict=True):
        wanted = F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)
        torch.testing.assert_close(out, wanted)


@pytest.mark.parametrize('neck', [MapBatchNorm, StageNorm, StageProjection])
def test_neck_of_another_number_of_maps_is_refused_by_its_name(neck):
    with pytest.raises(ConfigError, match=f'{neck.__name__}: 1 maps for 2 in_channels'):
        neck([4, 8])([torch.randn(1, 4, 2, 2)])
