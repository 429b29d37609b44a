"""Decodes images and label maps, for training, evaluation and ``data check``.

Every error names the file. Which way up an image is read is one of :data:`ORIENTATIONS`.
"""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mim_bench.data.archives import place_of, read_file
from mim_bench.errors import DataError

# 'stored': the pixels as they lie in the file, whatever EXIF says. So reads torchvision's
# ImageFolder (`Image.open(path).convert('RGB')`), which the official code of the classification
# and pre-training recipes uses.
# 'turned': as the EXIF tag says. So read mmcv (`flag='color'`) and detectron2 (`read_image`), which
# the official code of the segmentation and detection recipes uses.
# 'proved': as 'turned', but a tag whose turn the size of the annotation cannot prove is an error,
# since annotations of such an image may have been drawn on either of the two.
ORIENTATIONS = ('stored', 'turned', 'proved')

_CV2_COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_TAG = 0x0112
UPRIGHT = 1
_SWAPS_SIDES = 5  # so do this tag and those after it
# Rotations in quarters counter-clockwise after a mirroring of the columns, by the EXIF tag.
_TURNS = {
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 1),
    6: (False, 3),
    7: (True, 3),
    8: (False, 1),
}
# The last bytes of a whole file; a decoder that accepts a file without them invents the rest.
_ENDINGS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}
_TAIL_BYTES = 1024
# Tests of classification resize the short side, as torchvision and mmpretrain do without a limit:
# 1 x 5000 pixels become 256 x 1,280,000, which take 4 GB. Smaller sides of other tasks become 0.
_LONGEST = 200  # times the short side


def read_bytes(path: str | Path) -> bytes:
    """The content of a file.

    Raises:
        DataError: It is not there, cannot be read, or is empty.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}.') from error
    if not content:
        raise DataError(f'{path}: is empty (0 bytes). Fetch it again.')
    return content


def read_image(
    path: str | Path,
    orientation: str,
    *,
    size: tuple[int, int] | None = None,
    backend: str = 'cv2',
) -> np.ndarray:
    """Decode a photograph to its last byte.

    Args:
        path: Path of the file; it stands in every error.
        orientation: One of :data:`ORIENTATIONS`.
        size: (height, width) that annotations of the image count in, if it is known.
        backend: ``'cv2'`` or ``'pillow'``.

    Returns:
        uint8 (height, width, 3), blue first.

    Raises:
        DataError: It does not decode, is cut short, is a line of pixels, has another size than
            its annotation, or has an EXIF orientation that nothing proves.
    """
    content = read_bytes(path)
    pixels = _decode(path, content, is_photo=True, backend=backend)
    if orientation == 'stored':
        return pixels
    tag = exif_orientation(content)
    if orientation == 'proved':
        check_turn(path, tag, pixels.shape[:2], size)
    return turn(pixels, tag)


def read_stored(path: str | Path) -> tuple[np.ndarray, int]:
    """The pixels as they lie in the file, and its EXIF tag; see :func:`read_image`."""
    content = read_bytes(path)
    pixels = _decode(path, content, is_photo=True, backend='cv2')
    return pixels, exif_orientation(content)


def read_label_map(path: str | Path, backend: str = 'pillow') -> np.ndarray:
    """Decode a label map: integers (height, width) as they lie in the file.

    Raises:
        DataError: It does not decode, or its pixels are colours and no labels.
    """
    labels = _decode(path, read_bytes(path), is_photo=False, backend=backend)
    if labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16, np.int32):
        kind = f'{labels.shape[-1]} channels' if labels.ndim > 2 else f'values of {labels.dtype}'
        raise DataError(
            f'{path}: has {kind}; a label map has one channel of whole numbers. Save it as 8-bit '
            'grey or palette PNG (modes L or P).'
        )
    return labels


def image_size(path: str | Path) -> tuple[int, int] | None:
    """(height, width) of a file by its header; None where that cannot be read."""
    try:
        source = path if place_of(path) is None else io.BytesIO(read_file(path))
        with Image.open(source) as image:
            return image.size[::-1]
    except (OSError, ValueError):
        return None


def exif_orientation(content: bytes) -> int:
    """The EXIF tag of an image file, 1 (upright) to 8; 1 where there is none or a broken one.

    TIFF files are upright: their decoders turn them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # odd EXIF is no reason to shout
            with Image.open(io.BytesIO(content)) as image:
                tag = UPRIGHT if image.format == 'TIFF' else image.getexif().get(_TAG)
    except Exception:  # EXIF of another program's making answers with nearly any of them
        return UPRIGHT
    return tag if tag in _TURNS else UPRIGHT


def turn(pixels: np.ndarray, tag: int) -> np.ndarray:
    """Pixels (height, width, ...) as an EXIF tag says they are to be seen."""
    if tag not in _TURNS:
        return pixels
    is_mirrored, quarters = _TURNS[tag]
    return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if is_mirrored else pixels, quarters))


def _decode(path: str | Path, content: bytes, *, is_photo: bool, backend: str) -> np.ndarray:
    """Pixels as mmcv's backends ``cv2`` and ``pillow`` give them, EXIF ignored."""
    try:
        if _lacks_end(content):
            _decode_by_pillow(content, is_photo=is_photo)  # it refuses what is cut short
        if backend == 'cv2':
            flag = _CV2_COLOUR if is_photo else cv2.IMREAD_UNCHANGED
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
        else:
            pixels = _decode_by_pillow(content, is_photo=is_photo)
    except Exception as error:  # decoders answer damage with nearly any exception there is
        raise DataError(f'{path}: does not decode: {_reason_of(error)}. {_ADVICE}') from error
    if pixels is None:
        raise DataError(f'{path}: does not decode: no format that is known. {_ADVICE}')
    if is_photo:
        check_sides(path, pixels.shape[:2])
    return pixels


def check_sides(where: str | Path, size: tuple[int, int]) -> None:
    """Refuse a photograph of (height, width) whose long side becomes too long when it is resized.

    Raises:
        DataError: It names the image by ``where``.
    """
    if max(size) > _LONGEST * min(size):
        raise DataError(
            f'{where}: is {size[1]} x {size[0]} pixels (width x height); one side may be at most '
            f'{_LONGEST} times as long as the other. Crop it, or remove it; `mim-bench train '
            '--on-bad-image skip` leaves it out.'
        )


def _decode_by_pillow(content: bytes, *, is_photo: bool) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image.convert('RGB') if is_photo else image)
    return np.ascontiguousarray(pixels[..., ::-1]) if is_photo else pixels


_ADVICE = (
    'Fetch or save it again; `mim-bench data check` finds all such files, and `mim-bench train '
    '--on-bad-image skip` leaves them out.'
)


def _reason_of(error: Exception) -> str:
    """Why a decoder gave up, on one line."""
    # Pillow's message holds the address of a buffer in memory.
    text = ' '.join(str(error).split()) or type(error).__name__
    return 'no format that is known' if 'BytesIO' in text else text.rstrip('.')


def _lacks_end(content: bytes) -> bool:
    ending = _ENDINGS.get(content[:2])
    return ending is not None and ending not in content[-_TAIL_BYTES:]


def check_turn(
    path: str | Path, tag: int, stored: tuple[int, int], size: tuple[int, int] | None
) -> None:
    """Refuse an image whose annotation does not prove which way up it is read.

    Args:
        path: For the message.
        tag: Tag of EXIF.
        stored: (height, width) as the pixels lie in the file.
        size: (height, width) that the annotation counts in; None if it is not known.

    Raises:
        DataError: The sizes differ, or the tag turns the image and the size does not tell.
    """
    turned = stored[::-1] if tag >= _SWAPS_SIDES else stored
    if tag == UPRIGHT or size is None:
        is_proved = tag == UPRIGHT and size in (None, stored)
    else:
        is_proved = size == turned != stored
    if is_proved:
        return
    if tag == UPRIGHT:
        raise DataError(
            f'{path}: is {stored[1]} x {stored[0]} pixels (width x height), its annotation is for '
            f'{size[1]} x {size[0]}. Give the image and the annotation that belong together.'
        )
    found = (
        f'its annotation is for the stored pixels, {stored[1]} x {stored[0]}'
        if size == stored != turned
        else 'its annotation may be for either of the two'
        if size in (None, stored, turned)
        else f'its annotation is for {size[1]} x {size[0]} pixels, the image has '
        f'{stored[1]} x {stored[0]}'
    )
    raise DataError(
        f'{path}: has EXIF orientation {tag}, so it would be read turned, but {found}. If '
        'annotations were drawn on the stored pixels, remove the tag (`exiftool -Orientation= '
        'FILE`); if on the turned ones, save the image upright (`mogrify -auto-orient FILE`) or '
        "set the pipeline's orientation='turned'."
    )
