import numpy as np

from mim_bench.visualization.pictures import enlarge, picture_grid


def plain(height, width, colour):
    return np.full((height, width, 3), colour, np.uint8)


def test_picture_grid_places_images_by_row_and_column():
    red, blue = plain(96, 96, (255, 0, 0)), plain(96, 96, (0, 0, 128))
    black = plain(96, 96, 0)
    grid = np.asarray(picture_grid([[red, red], [black, blue]]))
    assert grid.shape == (2 * 96 + 2, 2 * 96 + 2, 3)
    assert grid[10, 10].tolist() == [255, 0, 0]
    assert grid[10, 97].tolist() == [255, 255, 255]  # the gap
    assert grid[10, 110].tolist() == [0, 0, 0]
    assert grid[110, 110].tolist() == [0, 0, 128]


def test_picture_grid_smaller_image_stands_in_the_middle_of_its_tile():
    grid = np.asarray(picture_grid([[plain(10, 4, 0)], [plain(4, 10, 0)]]))
    assert grid.shape == (10, 22, 3)
    # the left tile's columns 3 to 6, the right tile's rows 3 to 6
    assert np.flatnonzero((grid[:, :10] == 0).all(axis=(0, 2))).tolist() == [3, 4, 5, 6]
    assert np.flatnonzero((grid[:, 12:] == 0).all(axis=(1, 2))).tolist() == [3, 4, 5, 6]


def test_picture_grid_titles_stand_above_their_columns():
    black = plain(40, 60, 0)
    untitled = np.asarray(picture_grid([[black], [black]]))
    titled = np.asarray(picture_grid([[black], [black]], ['', 'a title of some length']))
    band = titled[: -len(untitled)]
    assert np.array_equal(titled[-len(untitled) :], untitled)
    assert (band[:, :62] == 255).all()
    assert (band[:, 62:] < 128).any()
    # The text is wider than the column, so it takes lines, and stays within the column.
    assert len(band) > 2 * 15
    assert (band[:, [62, -1]] == 255).all()


def test_enlarge_repeats_pixels_by_a_whole_factor():
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    large = enlarge(image, min_tile_px=10)  # 10 / 4 rounds up to 3
    assert large.shape == (12, 15, 3)
    assert np.array_equal(large[::3, ::3], image)
    assert np.array_equal(large[2::3, 2::3], image)


def test_enlarge_large_image_stays():
    assert enlarge(plain(96, 200, 7)).shape == (96, 200, 3)
