"""LocalMIM's Swin checkpoints as its official fine-tuning and segmentation code reads them."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.sources import localmim_swin
from mim_bench.conversion.swin_keys import COLUMN_FIRST


def convert(state: Mapping[str, torch.Tensor], where: str) -> Converted:
    """Rename the keys; merge 2x2 neighbours column by column.

    The weights were trained row by row, so two neighbours change places: official
    pre-training and fine-tuning disagree, and the published numbers come from that.
    """
    return localmim_swin.convert_in_order(state, where, COLUMN_FIRST)


SOURCE = replace(
    localmim_swin.SOURCE,
    name='localmim-swin-official-finetune',
    # The files are those of the other source; this order is for who asks for it by name.
    detect=lambda _: False,
    convert=convert,
)
