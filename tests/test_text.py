"""Words and texts of others, as a terminal or a page may have them."""

import pytest

from daskgmm.text import escape_text, harmless, pluralize, printable, shorten, shorten_apart, with_precision


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "chunk", "1 chunk"), (2048, "chunk", "2,048 chunks"), (0, "pass", "0 passes"), (1, "pass", "1 pass")],
)
def test_a_number_has_its_noun_in_the_singular_or_the_plural(number, noun, text):
    assert pluralize(number, noun) == text


def test_no_character_acts_on_a_terminal_or_a_page():
    hostile = "a\x1b[31mb\u202ec\x07[bold]d"
    assert printable(hostile) == "a?[31mb?c?[bold]d"
    assert "\x1b" not in harmless(hostile)
    assert "\u202e" not in harmless(hostile)
    assert harmless("tab\tand\nline") == "tab\tand\nline"
    assert escape_text(hostile) == r"a?[31mb?c?\[bold]d"


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        (1.7e9, 2.5, "1,700,000,000.0"),
        (2459000.123456, 1e-4, "2,459,000.12346"),
        (-0.0001, 3.0, "0.0"),
        (1234567.0, 345678.0, "1,234,567"),
        (3e-12, 1e-13, "3.00e-12"),
        (7.25, 0.0, "7.25"),
    ],
)
def test_a_mean_is_shown_down_to_the_second_digit_of_its_deviation(mean, deviation, text):
    assert with_precision(mean, deviation) == text


def test_long_names_lose_their_middle_so_that_their_ends_tell_them_apart():
    first, second = (shorten(f"a_very_long_name_of_a_column_{end}", 15) for end in ("mean", "range"))
    assert first != second
    assert len(first) == 15
    assert shorten("short", 15) == "short"


def test_shortened_names_read_apart_where_they_differ():
    names = ["temperature_of_the_upper_layer_1_in_kelvin", "temperature_of_the_upper_layer_2_in_kelvin", "x"]
    first, second, third = shorten_apart(names, 20)
    assert first != second
    assert "1" in first
    assert "2" in second
    assert third == "x"
    assert max(len(first), len(second)) <= 20
    assert shorten_apart(["a" * 30 + "b" * 30, "a" * 31 + "b" * 30], 12) != ("aaaaa…bbbbb",) * 2
    assert shorten_apart(["same" * 10, "same" * 10], 11) == ("sames…esame",) * 2
    assert shorten_apart([], 5) == ()
