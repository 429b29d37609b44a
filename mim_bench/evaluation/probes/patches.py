"""Banks of labelled patches: frozen features of some patches of each training image, in files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from torch import nn
from torch.utils.data import DataLoader

from mim_bench.data.label_range import check_classes
from mim_bench.errors import ConfigError, DataError
from mim_bench.evaluation.isolation import evaluating, preserved_rng
from mim_bench.evaluation.probes.extraction import (
    Share,
    arithmetic,
    check_loader,
    check_shares,
    open_on_every_process,
)
from mim_bench.evaluation.probes.features import X_FILE
from mim_bench.evaluation.probes.npy_rows import MappedRows, RowWriter, load_npy
from mim_bench.evaluation.probes.together import on_every_process, on_main_process
from mim_bench.models.heads.patch_probe import joined_maps
from mim_bench.recipe.tta import unwrap

SHARES_FILE = 'shares.npy'
IMAGES_FILE = 'images.npy'
SAMPLINGS = ('uniform', 'rare')


@dataclass(frozen=True)
class PatchBank:
    """Features of N patches with the classes of their pixels.

    Attributes:
        x: (N, D) features.
        shares: (N, C): share of each class among the labelled pixels of the patch; rows sum to 1.
        images: (N,) int64, ascending: number of the image in the data set.
    """

    x: torch.Tensor | MappedRows
    shares: torch.Tensor | MappedRows
    images: torch.Tensor

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.x) == len(self.shares) > 0:
            raise DataError(
                f'A bank of patches has {len(self.x)} features, {len(self.shares)} labels and '
                f'{len(self.images)} numbers of images. Give it labelled images, or delete it.'
            )

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return self.shares.shape[1]

    @classmethod
    def open(cls, folder: str | Path) -> 'PatchBank':
        """Map the files of a folder.

        Raises:
            DataError: A file is missing or damaged, or they do not fit.
        """
        folder = Path(folder)
        images = load_npy(folder / IMAGES_FILE)
        x, shares = (MappedRows(folder / name) for name in (X_FILE, SHARES_FILE))
        return cls(x, shares, torch.from_numpy(images))


def extract_patches(
    model: nn.Module,
    dataloader: DataLoader,
    folder: Path,
    *,
    num_classes: int,
    num_patches: int,
    sampling: str = 'uniform',
    seed: int = 0,
    fp16: bool | str = False,
    dtype: str = 'float16',
    on_batch: Callable[[int, int], None] | None = None,
) -> PatchBank:
    """Extract features of some labelled patches of each image, into files.

    Each image gives at most ``num_patches`` / images of its patches that have a labelled pixel.
    Which ones depends on ``seed`` and the number of the image alone. No process holds more than
    a batch.

    Args:
        model: Segmentor with ``data_preprocessor`` and ``extract_feat(inputs)``.
        dataloader: Loader of labelled images.
        folder: An empty folder that all processes see.
        num_classes: C; 255 is unlabelled.
        num_patches: Size of the bank, at least the number of images.
        sampling: ``'uniform'``, or ``'rare'``: the patches with the smallest u * f, with u drawn
            evenly from 0 to 1 and f the sum, over the classes in the patch, of the number of
            patches of the image that hold the class.
        seed: Decides the patches.
        fp16: See :func:`mim_bench.evaluation.probes.extraction.extract_features`, also for errors.
        dtype: Type in the files, ``'float32'`` or ``'float16'``.
        on_batch: Called after each batch with (batches done, batches in all).
    """
    check_loader(dataloader, dtype)
    size, num_parts = len(dataloader.dataset), get_world_size()
    if sampling not in SAMPLINGS:
        raise ConfigError(f'sampling={sampling!r} is unknown. Known: {", ".join(SAMPLINGS)}.')
    if num_patches < size:
        raise ConfigError(
            f'num_patches = {num_patches} is less than the number of images, {size}. Set it to at '
            'least that.'
        )
    model = unwrap(model)
    draw = _Draw(num_classes, num_patches // size, sampling, seed)

    def write() -> tuple[Share, list[int]]:
        share = Share()
        batches = _patches_of_batches(model, dataloader, draw, fp16, dtype, share, on_batch)
        num_rows = draw.quota * len(dataloader.sampler)
        with closing(batches):
            return share, _write_part(batches, folder, num_rows, dtype)

    shares, counts = zip(*on_every_process(write), strict=True)
    check_shares(shares, size, dtype)
    on_main_process(lambda: _join(folder, counts, size, num_parts, dtype))
    return open_on_every_process(folder, PatchBank.open)


def label_shares(labels: torch.Tensor, grid: tuple[int, int], num_classes: int) -> torch.Tensor:
    """Shares of each class among the labelled pixels of each patch, NaN where there are none.

    Args:
        labels: (H, W) integers; those outside 0..num_classes - 1 are unlabelled.
        grid: (rows, cols) of patches; pixel (y, x) is in row y * rows // H.
        num_classes: C of the result (rows * cols, C).
    """
    (height, width), (rows, cols) = labels.shape, grid
    device = labels.device
    row = torch.arange(height, device=device) * rows // height
    col = torch.arange(width, device=device) * cols // width
    known = torch.where((labels < 0) | (labels >= num_classes), num_classes, labels.long())
    cell = row[:, None] * cols + col
    counts = torch.bincount(
        (cell * (num_classes + 1) + known).flatten(), minlength=rows * cols * (num_classes + 1)
    )
    counts = counts.unflatten(0, (rows * cols, num_classes + 1))[:, :-1].float()
    return counts / counts.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class _Draw:
    """Which patches of an image go to the bank."""

    num_classes: int
    quota: int
    sampling: str
    seed: int

    def rows(self, shares: torch.Tensor, image: int) -> torch.Tensor:
        """Numbers of at most ``quota`` labelled patches, ascending, from shares (P, C)."""
        labelled = (~shares[:, 0].isnan()).nonzero().flatten()
        score = torch.from_numpy(np.random.default_rng([self.seed, image]).random(len(labelled)))
        if self.sampling == 'rare':
            holds = (shares[labelled] > 0).double()
            score = score * (holds @ holds.sum(dim=0))
        return labelled[score.argsort(stable=True)[: self.quota]].sort().values


def _patches_of_batches(
    model: nn.Module,
    dataloader: DataLoader,
    draw: _Draw,
    fp16: bool | str,
    dtype: str,
    share: Share,
    on_batch: Callable[[int, int], None] | None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Features (Q, D) and shares (Q, C) of the patches of each image, on the CPU.

    ``share`` checks the features of a whole image: its patches differ by their positions alone.
    """
    device = next(model.parameters()).device
    image, step = get_rank(), get_world_size()
    with preserved_rng(), evaluating(model), arithmetic(device, fp16):
        for done, batch in enumerate(dataloader, start=1):
            data = model.data_preprocessor(batch, False)
            maps = joined_maps(model.extract_feat(data['inputs']))
            maps = maps.to('cpu', getattr(torch, dtype))
            share.add(maps.flatten(1))
            for features, sample in zip(maps, data['data_samples'], strict=True):
                labels = _labels(sample, draw.num_classes)
                shares = label_shares(labels, tuple(features.shape[1:]), draw.num_classes)
                rows = draw.rows(shares, image)
                yield features.flatten(1).T[rows], shares[rows]
                image += step
            if on_batch is not None:
                on_batch(done, len(dataloader))


def _labels(sample: Any, num_classes: int) -> torch.Tensor:
    name = getattr(sample, 'metainfo', {}).get('img_path', 'a sample')
    if 'gt_sem_seg' not in sample:
        raise DataError(f'{name}: a probe of patches needs a label map. Use a labelled data set.')
    labels = sample.gt_sem_seg.data[0].cpu()
    check_classes(labels, num_classes, name)
    return labels


def _write_part(
    images: Iterator[tuple[torch.Tensor, torch.Tensor]],
    folder: Path,
    num_rows: int,
    dtype: str,
) -> list[int]:
    """Write this process's patches; image i belongs to process i % world size.

    Returns:
        Patches of each image.
    """
    paths = _parts(folder, get_rank())
    counts: list[int] = []
    with ExitStack() as stack:
        writers: list[RowWriter] = []
        for tables in images:
            if not writers:
                writers = [
                    stack.enter_context(RowWriter(path, (num_rows, table.shape[1]), dtype))
                    for path, table in zip(paths, tables, strict=True)
                ]
            for writer, table in zip(writers, tables, strict=True):
                writer.append(table.to(getattr(torch, dtype)))
            counts.append(len(tables[0]))
    return counts


def _parts(folder: Path, rank: int) -> tuple[Path, Path]:
    return folder / f'{rank}.{X_FILE}', folder / f'{rank}.{SHARES_FILE}'


def _join(
    folder: Path, counts: Sequence[Sequence[int]], size: int, num_parts: int, dtype: str
) -> None:
    """Join the parts of all processes in the order of the images."""
    by_image = [counts[image % num_parts][image // num_parts] for image in range(size)]
    if not sum(by_image):
        raise DataError('No patch of the training images has a label. Check the label maps.')
    for name, parts in zip(
        (X_FILE, SHARES_FILE),
        zip(*(_parts(folder, rank) for rank in range(num_parts)), strict=True),
        strict=True,
    ):
        if num_parts == 1:
            parts[0].rename(folder / name)
            continue
        sources, starts = [MappedRows(part) for part in parts], [0] * num_parts
        with RowWriter(folder / name, (sum(by_image), sources[0].shape[1]), dtype) as out:
            for image, count in enumerate(by_image):
                part = image % num_parts
                out.append(sources[part][starts[part] : starts[part] + count])
                starts[part] += count
        for part in parts:
            part.unlink()
    np.save(folder / IMAGES_FILE, np.repeat(np.arange(size), by_image))
