"""Checkpoints of the user as rows of the demo."""

from collections.abc import Sequence
from pathlib import Path

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.errors import ConversionError
from mim_bench.results.hashing import file_sha256
from mim_bench.suite.demo import Row

# The demo's configs by the class of a checkpoint's backbone.
TOY_BACKBONES = {
    'mim_bench.ViT': 'vit-toy',
    'mim_bench.Swin': 'swin-toy',
    'mim_bench.UMMAESwin': 'ummae-swin-toy',
    'mim_bench.UMMAEPvt': 'ummae-pvt-toy',
}


def rows_of(checkpoints: Sequence[Path], folder: Path) -> list[Row]:
    """Convert checkpoints and make a row of each.

    Args:
        checkpoints: In any layout that ``mim-bench convert`` recognises, canonical ones too.
        folder: Where the converted files go, under ``given_<name>.pth``.

    Raises:
        ConversionError: A file's format is not recognised, its backbone is of no family that
            the demo has configs for, or two files have one name.
    """
    rows: list[Row] = []
    for checkpoint in checkpoints:
        path = folder / f'given_{checkpoint.stem}.pth'
        if path in {row.given for row in rows}:
            raise ConversionError(f'{checkpoint}: another checkpoint has that name. Rename one.')
        meta = convert_checkpoint(checkpoint, path).meta
        backbone = TOY_BACKBONES.get(meta['backbone_type'])
        if backbone is None:
            raise ConversionError(
                f'{checkpoint}: the demo has no configs for a {meta["backbone_type"]}; it has '
                f'some for {", ".join(TOY_BACKBONES)}.'
            )
        method = meta.get('method') or 'unknown'
        rows.append(Row(method, backbone, path, file_sha256(checkpoint)))
    return rows
