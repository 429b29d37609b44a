"""Loading a photograph, the right way up and with errors that name the file."""

from typing import Any

import mmcv.transforms
import numpy as np

from mim_bench.data.image_file import ORIENTATIONS, image_size, read_image
from mim_bench.errors import ConfigError
from mim_bench.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(mmcv.transforms.LoadImageFromFile):
    """mmcv's LoadImageFromFile for colour photographs on disk.

    Args:
        orientation: One of :data:`mim_bench.data.image_file.ORIENTATIONS`. Where it is
            ``'proved'``, the size of the annotation is ``height`` and ``width`` of a sample, or
            that of its label map.
        **settings: ``to_float32`` and ``imdecode_backend`` of mmcv's.

    Raises:
        ConfigError: The orientation is unknown.

    Differs: whether EXIF turns an image is stated and does not depend on the backend; a file that
    is cut short is refused.
    """

    def __init__(self, orientation: str, **settings: Any) -> None:
        if orientation not in ORIENTATIONS:
            raise ConfigError(
                f'LoadImage: unknown orientation {orientation!r}. Known: {", ".join(ORIENTATIONS)}.'
            )
        super().__init__(**settings)
        self.orientation = orientation

    def transform(self, results: dict) -> dict:
        """Load ``img`` (H, W, 3), and its ``img_shape`` and ``ori_shape``.

        Raises:
            DataError: See :func:`mim_bench.data.image_file.read_image`.
        """
        path = results['img_path']
        size = None
        if self.orientation == 'proved':
            size = _annotated_size(results)
        pixels = read_image(path, self.orientation, size=size, backend=self.imdecode_backend)
        results['img'] = pixels.astype(np.float32) if self.to_float32 else pixels
        results['img_shape'] = results['ori_shape'] = pixels.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(orientation={self.orientation!r})'


def _annotated_size(results: dict) -> tuple[int, int] | None:
    """(height, width) that the annotations of a sample count in."""
    if results.get('height') and results.get('width'):
        return results['height'], results['width']
    labels = results.get('seg_map_path')
    return image_size(labels) if labels else None
