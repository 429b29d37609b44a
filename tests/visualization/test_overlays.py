import numpy as np

from mim_bench.visualization.overlays import (
    class_colours,
    show_image,
    show_map,
    show_objects,
    shown_size,
)

GREY = np.full((16, 32, 3), 100, np.uint8)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_shown_size_keeps_the_proportions_within_the_limits():
    assert shown_size((16, 32)) == (160, 320)
    assert shown_size((2000, 4000)) == (160, 320)
    assert shown_size((400, 100)) == (480, 120)


def test_show_map_mixes_colours_and_leaves_ignored_pixels():
    labels = np.zeros((16, 32), np.int64)
    labels[:, 16:] = 255
    shown = show_map(GREY, labels, [RED])
    # 0.6 of the colour, 0.4 of the image
    assert shown[80, 40].tolist() == [193, 40, 40]
    assert shown[80, 280].tolist() == [100, 100, 100]


def test_show_map_of_another_size_is_fitted_to_the_image():
    labels = np.array([[0, 1]])
    shown = show_map(GREY, labels, [RED, BLUE])
    assert shown[5, 5].tolist() == [193, 40, 40]
    assert shown[150, 310].tolist() == [40, 40, 193]


def test_show_objects_draws_boxes_and_masks_at_the_shown_size():
    masks = np.zeros((1, 16, 32), bool)
    masks[0, 8:, 16:] = True
    boxes = np.array([[16, 8, 31, 15]])
    shown = show_objects(GREY, boxes, [''], [RED], masks)
    assert shown.shape == (160, 320, 3)
    assert shown[120, 160].tolist() == list(RED)  # the left line of the box
    # 0.45 of the colour, 0.55 of the image
    assert shown[120, 240].tolist() == [170, 55, 55]
    assert shown[40, 40].tolist() == [100, 100, 100]


def test_show_objects_text_of_a_box_at_the_edge_stays_inside():
    shown = show_objects(GREY, np.array([[30, 0, 32, 4]]), ['a long name'], [BLUE])
    # A chip of the box's colour reaches left from the right edge.
    assert (shown[1, 250:] == BLUE).all(axis=-1).mean() > 0.9


def test_show_objects_without_objects_is_the_image():
    shown = show_objects(GREY, np.zeros((0, 4)), [], [], np.zeros((0, 16, 32), bool))
    assert np.array_equal(shown, show_image(GREY))


def test_class_colours_palette_comes_first_and_the_rest_differ():
    colours = class_colours(12, [RED, list(BLUE)])
    assert colours[:2] == [RED, BLUE]
    assert len(set(colours)) == 12
    assert class_colours(1, [RED, BLUE]) == [RED]
