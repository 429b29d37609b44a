"""Measures how fast a config's training images are read and augmented, by step and by a loader."""

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mim_bench.data.fused import fuse_pipeline
from mim_bench.data.seeding import seed_everything
from mim_bench.data.shared_batches import share_batches
from mim_bench.errors import ConfigError
from mim_bench.recipe.building import (
    build_pipeline,
    explained,
    library_scope,
    train_collate,
    train_pipeline,
)

# Size of the photographs that are made up if there are no data: ImageNet's mean.
PHOTO_SIZE = (375, 500)
PHOTO_BYTES = 49_000
NUM_PHOTOS = 64
_COLLATE = 'collate'
# So many times the images of a turn, since starting workers disturbs.
_LOADER_IMAGES = 8


@dataclass
class Loading:
    """Cost of loading in one process.

    Attributes:
        name: Name of the config.
        images: Number of images of a turn.
        cpu_s: CPU seconds of each turn, for all of its images.
        wall_s: Seconds of each turn.
        steps_s: CPU seconds of each step of the pipeline over all turns, in its order.
        loader_img_per_s: Images a second of a DataLoader, by its number of workers; the median of
            the turns.
    """

    name: str
    images: int = 0
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    steps_s: dict[str, float] = field(default_factory=dict)
    loader_img_per_s: dict[int, float] = field(default_factory=dict)

    @property
    def img_per_s_core(self) -> float:
        """Images a second of CPU time; the median of the turns."""
        return self.images / len(self.cpu_s) / statistics.median(self.cpu_s)

    @property
    def img_per_s_process(self) -> float:
        """Images a second of one process; the median of the turns."""
        return self.images / len(self.wall_s) / statistics.median(self.wall_s)

    def cores_for(self, img_per_s: float) -> float:
        """Cores needed by a GPU that trains this many images a second."""
        return img_per_s / self.img_per_s_core

    def to_dict(self) -> dict[str, Any]:
        """All measurements as plain data."""
        rates = dict(img_per_s_core=self.img_per_s_core, img_per_s_process=self.img_per_s_process)
        return {**asdict(self), **rates}


class TrainingImages(Dataset):
    """The training samples of a config, seeded one by one as a run's are.

    Args:
        cfg: Config of a training.
        photos: Files of made-up photographs that replace the data set.
    """

    def __init__(self, cfg: Config, photos: Sequence[str] = ()) -> None:
        self.photos = photos
        if photos:
            self.dataset = None
            self.pipeline = build_pipeline(cfg, train_pipeline(cfg))
            self._fuse(cfg)
            return
        with library_scope(cfg), explained(cfg):
            self.dataset = DATASETS.build(cfg.train_dataloader.dataset)
        inner = self.dataset
        while not hasattr(inner, 'pipeline') and hasattr(inner, 'dataset'):
            inner = inner.dataset
        self.pipeline = inner.pipeline
        self._fuse(cfg)

    def _fuse(self, cfg: Config) -> None:
        if not _is_plain(cfg):
            fuse_pipeline(self)

    def __len__(self) -> int:
        return len(self.photos or self.dataset)

    def info(self, index: int) -> dict[str, Any]:
        """The input of the pipeline for a sample."""
        index %= len(self)
        if self.photos:
            return dict(img_path=self.photos[index], gt_label=0, sample_idx=index)
        return self.dataset.get_data_info(index)

    def __getitem__(self, index: int) -> Any:
        seed_everything(0, 0, index)
        return self.pipeline(self.info(index))


def _is_plain(cfg: Config) -> bool:
    return cfg.train_dataloader.get('loading') == 'plain'


def measure_loading(
    entries: Sequence[tuple[str, Config]],
    *,
    images: int,
    turns: int,
    workers: Sequence[int] = (),
    report: Callable[[str], None] = lambda text: None,
) -> list[Loading]:
    """Measure configs in turns, on samples of the same indices.

    Args:
        entries: Name and config of each; a config without data gets made-up photographs.
        images: Number of images of each config and turn.
        turns: Number of rounds, after one that is not counted.
        workers: Numbers of workers of DataLoaders to time afterwards.
        report: Receives messages about the progress.

    Raises:
        ConfigError: A config's images cannot be made up.
    """
    found = [Loading(name) for name, _ in entries]
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        sets = [_images_of(cfg, folder, report) for _, cfg in entries]
        collates = [train_collate(cfg) for _, cfg in entries]
        for turn in range(turns + 1):
            report(f'turn {turn} of {turns}')
            places = range(turn * images, (turn + 1) * images)
            for loading, samples, collate in zip(found, sets, collates, strict=True):
                _take_turn(loading if turn else Loading(''), samples, collate, places)
        for count in workers:
            rates: dict[str, list[float]] = {}
            for turn in range(turns):
                report(f'loaders of {count} workers, turn {turn + 1} of {turns}')
                for (name, cfg), samples in zip(entries, sets, strict=True):
                    rate = _time_loader(cfg, samples, count, images * _LOADER_IMAGES)
                    rates.setdefault(name, []).append(rate)
            for loading in found:
                loading.loader_img_per_s[count] = statistics.median(rates[loading.name])
    return found


def _images_of(cfg: Config, folder: str, report: Callable[[str], None]) -> TrainingImages:
    root = Path(str(cfg.get('data_root') or ''))
    if root.exists():
        return TrainingImages(cfg)
    last = str(train_pipeline(cfg)[-1]['type'])
    if last != 'PackInputs':
        raise ConfigError(
            f'{cfg.filename}: {root} is not there, and images with annotations are not made up. '
            'Give the data with --data-root DIR.'
        )
    report(f'{root} is not there: made-up photographs')
    return TrainingImages(cfg, make_photos(folder))


def make_photos(folder: str | Path, count: int = NUM_PHOTOS) -> list[str]:
    """Write smooth noise as JPEG files of about ImageNet's size and bytes; keeps existing files."""
    paths = [Path(folder) / f'{number:04d}.jpg' for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            path.write_bytes(_photo(np.random.default_rng(number)))
    return [str(path) for path in paths]


def _photo(rng: np.random.Generator) -> bytes:
    height, width = PHOTO_SIZE
    image = np.full((height, width, 3), 118, np.float32)
    for pixels, contrast in ((40, 48), (12, 24), (4, 13), (1.2, 7)):
        noise = rng.standard_normal((height, width, 3), np.float32)
        noise = 1.2 * noise.mean(-1, keepdims=True) + 0.3 * noise
        noise = cv2.GaussianBlur(noise, (0, 0), pixels)
        image += contrast * noise / noise.std()
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    low, high = 50, 97
    while low < high:  # the best quality of at most so many bytes
        quality = (low + high + 1) // 2
        if len(_jpeg(picture, quality)) <= PHOTO_BYTES:
            low = quality
        else:
            high = quality - 1
    return _jpeg(picture, low)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, 'JPEG', quality=quality)
    return file.getvalue()


def _take_turn(loading: Loading, samples: TrainingImages, collate: Callable, places: range) -> None:
    """Load the samples of a turn, each step timed; collate them as one batch."""
    steps = getattr(samples.pipeline, 'transforms', [samples.pipeline])
    names = _names(steps)
    wall, cpu = time.perf_counter(), time.process_time()
    batch = []
    for place in places:
        seed_everything(0, 0, place)
        results = samples.info(place)
        start = time.process_time()
        for name, step in zip(names, steps, strict=True):
            results = step(results)
            if results is None:
                break
            end = time.process_time()
            loading.steps_s[name] = loading.steps_s.get(name, 0.0) + end - start
            start = end
        batch += [] if results is None else [results]
    start = time.process_time()
    collate(batch)
    end = time.process_time()
    loading.steps_s[_COLLATE] = loading.steps_s.get(_COLLATE, 0.0) + end - start
    loading.cpu_s.append(end - cpu)
    loading.wall_s.append(time.perf_counter() - wall)
    loading.images += len(places)


def _names(steps: Sequence[Any]) -> list[str]:
    """A name for each step; repeated names are numbered."""
    names: list[str] = []
    for step in steps:
        name = type(getattr(step, 't', step)).__name__  # mmpretrain wraps torchvision's
        names.append(name if name not in names else f'{name} {names.count(name) + 1}')
    return names


def _time_loader(cfg: Config, samples: TrainingImages, workers: int, images: int) -> float:
    """Images a second of a DataLoader whose workers have begun and are not done."""
    size = 32
    batches, margin = -(-images // size), 3 * max(workers, 1)
    loader = DataLoader(
        samples,
        batch_size=size,
        sampler=[place % len(samples) for place in range((batches + 2 * margin) * size)],
        num_workers=workers,
        collate_fn=train_collate(cfg),
    )
    share_batches(loader, in_room=not _is_plain(cfg))
    arriving = iter(loader)
    for _ in range(margin):
        next(arriving)
    start = time.perf_counter()
    for _ in range(batches):
        next(arriving)
    return batches * size / (time.perf_counter() - start)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Context with one thread for torch and OpenCV, as in a worker of a loader."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def step_shares(loading: Loading) -> Iterator[tuple[str, float]]:
    """The steps of a pipeline in order, with their shares of its CPU time."""
    total = sum(loading.steps_s.values())
    for name, seconds in loading.steps_s.items():
        yield name, seconds / total
