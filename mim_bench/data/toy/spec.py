"""Specification of an embedded data set: sizes, seed, and version of the generator."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from mim_bench.errors import ConfigError

Split = Literal['train', 'val']
SPLITS: tuple[Split, Split] = ('train', 'val')

# Raised with every change that alters a byte of the output: a folder that an
# older generator wrote is then another data set.
GENERATOR_VERSION = 3

_NUM_CLASSES = 10


class SplitCount(NamedTuple):
    """Images of one layout."""

    train: int
    val: int


_DEMO_IMAGES = SplitCount(3000, 600)
_DEMO_SCENES = SplitCount(400, 80)


@dataclass(frozen=True)
class ToySize:
    """Images of each layout, (train, val)."""

    imagenet: SplitCount = _DEMO_IMAGES
    ade: SplitCount = _DEMO_SCENES
    coco: SplitCount = _DEMO_SCENES

    def __post_init__(self) -> None:
        for entry in fields(self):
            counts = SplitCount(*getattr(self, entry.name))
            # A class without an image would have no folder.
            least = _NUM_CLASSES if entry.name == 'imagenet' else 1
            if min(counts) < least:
                raise ConfigError(
                    f'An embedded dataset with {entry.name}={tuple(counts)} images cannot be '
                    f'made. Ask for {least} or more in each split.'
                )
            object.__setattr__(self, entry.name, counts)

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Images by layout and split."""
        return {entry.name: getattr(self, entry.name)._asdict() for entry in fields(self)}

    @property
    def num_images(self) -> int:
        """Images of all layouts and splits."""
        return sum(sum(counts.values()) for counts in self.to_dict().values())


SIZES: dict[str, ToySize] = {
    'tiny': ToySize(SplitCount(40, 20), SplitCount(8, 4), SplitCount(8, 4)),
    'small': ToySize(SplitCount(1000, 200), SplitCount(120, 40), SplitCount(120, 40)),
    'demo': ToySize(SplitCount(2000, 500), SplitCount(240, 100), SplitCount(240, 100)),
    'default': ToySize(),
    'large': ToySize(SplitCount(20000, 2000), SplitCount(2000, 200), SplitCount(2000, 200)),
}


@dataclass(frozen=True)
class ToySpec:
    """Two datasets with equal specs hold the same bytes, given the same Pillow."""

    seed: int = 0
    size: ToySize = field(default_factory=ToySize)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f'The seed is {self.seed}. Choose zero or a positive number.')

    def to_dict(self) -> dict[str, Any]:
        """The spec as in ``toy.json``."""
        return {
            'generator_version': GENERATOR_VERSION,
            'seed': self.seed,
            'size': self.size.to_dict(),
        }
