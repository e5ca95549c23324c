"""Words and texts of others, as a terminal or a page may have them."""

import pytest

from daskgmm.text import counted, harmless, printable, shown


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "chunk", "1 chunk"), (2048, "chunk", "2,048 chunks"), (0, "pass", "0 passes"), (1, "pass", "1 pass")],
)
def test_a_number_has_its_noun_in_the_singular_or_the_plural(number, noun, text):
    assert counted(number, noun) == text


def test_no_character_acts_on_a_terminal_or_a_page():
    hostile = "a\x1b[31mb\u202ec\x07[bold]d"
    assert printable(hostile) == "a?[31mb?c?[bold]d"
    assert "\x1b" not in harmless(hostile)
    assert "\u202e" not in harmless(hostile)
    assert harmless("tab\tand\nline") == "tab\tand\nline"
    assert shown(hostile) == r"a?[31mb?c?\[bold]d"
