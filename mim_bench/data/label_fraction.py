"""ImageNet with a part of its labels, the same part in every run."""

import hashlib
import math
from collections import defaultdict
from pathlib import Path, PurePath
from typing import Any

from mmengine.logging import print_log

from mim_bench.data.archives import is_file, read_text
from mim_bench.data.folders import ImageNet
from mim_bench.errors import ConfigError, DataError
from mim_bench.registry import DATASETS


@DATASETS.register_module()
class LabelFraction(ImageNet):
    """A share of the images of every class, or those of a list.

    Which images are drawn depends on the names of the files and on ``seed``, not on the run's
    seed, the platform or the versions of libraries. With one seed, the images of a smaller share
    are among those of a larger one. The list is logged with its hash, ``names_sha256``.

    Args:
        share: Share of each class, more than 0 and at most 1; at least one image of each class.
        seed: Another number draws other images.
        names_file: In place of ``share``: a file with the name of one image a line, without
            folders, as ``n01440764_10026.JPEG``; a relative path counts from ``data_root``.
        **kwargs: Keyword arguments of mmpretrain's ``ImageNet``.

    Raises:
        ConfigError: Neither or both of ``share`` and ``names_file`` are given, or the share is
            not one.
        DataError: The list is missing, empty, or names images that are not there.

    Source: the lists of SimCLR, arXiv:2002.05709, have this form (1 % and 10 % of each class).
    """

    def __init__(
        self,
        *,
        share: float | None = None,
        seed: int = 0,
        names_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        if (share is None) == (names_file is None):
            raise ConfigError(
                f'LabelFraction: share is {share} and names_file is {names_file!r}. Set exactly '
                'one of them.'
            )
        if share is not None and not 0 < share <= 1:
            raise ConfigError(f'LabelFraction: share is {share}. Give more than 0, at most 1.')
        self.share, self.seed, self.names_file = share, seed, names_file
        self.names_sha256 = ''
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """The images of the part, in the order of the whole data set."""
        samples = super().load_data_list()
        kept = self._draw(samples) if self.names_file is None else self._listed(samples)
        names = sorted(_name(sample) for sample in kept)
        self.names_sha256 = hashlib.sha256('\n'.join(names).encode()).hexdigest()
        num_classes = len({sample['gt_label'] for sample in kept})
        self.summary.add_unused('images outside of the part', len(samples) - len(kept))
        print_log(
            f'LabelFraction: {len(kept)} of {len(samples)} images, of {num_classes} classes; '
            f'sha256 of their sorted names {self.names_sha256}',
            logger='current',
        )
        return kept

    def _draw(self, samples: list[dict]) -> list[dict]:
        """Select the files of each class whose names have the lowest hashes."""
        of_class: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
        for i, sample in enumerate(samples):
            key = hashlib.sha256(f'{self.seed}/{_name(sample)}'.encode()).digest()
            of_class[sample['gt_label']].append((key, i))
        kept = []
        for members in of_class.values():
            # Half is rounded up, so that a larger share never has fewer images.
            count = max(1, math.floor(len(members) * self.share + 0.5))
            kept += [i for _, i in sorted(members)[:count]]
        return [samples[i] for i in sorted(kept)]

    def _listed(self, samples: list[dict]) -> list[dict]:
        path = Path(self.data_root or '', self.names_file)
        if not is_file(path):
            raise DataError(f'{path}: there is no such list of images. Correct names_file.')
        wanted = {line.strip() for line in read_text(path).splitlines()} - {''}
        if not wanted:
            raise DataError(f'{path}: names no image. Write one file name a line.')
        kept = [sample for sample in samples if _name(sample) in wanted]
        missing = sorted(wanted - {_name(sample) for sample in kept})
        if missing:
            raise DataError(
                f'{path}: {len(missing)} of its {len(wanted)} images are not in '
                f'{self.img_prefix}, for example {missing[0]}. Give names without folders, and '
                'the list that belongs to the data.'
            )
        return kept


def _name(sample: dict) -> str:
    return PurePath(sample['img_path']).name
