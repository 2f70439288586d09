"""The shape of a dataset's images."""

from gan.data.image_shape import ImageShape


def test_pixels_are_counted_with_their_channels():
    assert ImageShape(3, 32).pixels == 3072
