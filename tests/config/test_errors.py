"""The wording of messages."""

from gan.config.errors import printable


def test_what_is_visible_is_printed_as_it_is():
    assert printable("Übung é 日本 a=b 'x' \\ €") == "Übung é 日本 a=b 'x' \\ €"
    assert printable("a\x1b[1m\n\u202e\udcfc\x9b") == "a\\x1b[1m\\n\\u202e\\udcfc\\x9b"
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"
