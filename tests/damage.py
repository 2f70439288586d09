"""Random damage to files, for tests with hypothesis."""

from hypothesis import strategies as some


def damages(size: int) -> some.SearchStrategy:
    """Where a file of `size` bytes is cut, and which of its bytes are changed to what."""
    places = some.integers(0, max(size - 1, 0))
    changed = some.lists(some.tuples(places, some.integers(0, 255)), max_size=4)
    return some.tuples(some.one_of(some.just(size), places), changed)


def damaged(content: bytes, damage: tuple[int, list[tuple[int, int]]]) -> bytes:
    """`content` with a damage that `damages` drew."""
    cut, changed = damage
    result = bytearray(content)
    for place, value in changed if content else []:
        result[place] = value
    return bytes(result[:cut])
