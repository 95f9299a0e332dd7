"""Articles, plurals, numbers and lists."""

import pytest

from defectlib.data import words


@pytest.mark.parametrize(
    ("name", "one", "several"),
    [
        ("scratch", "a scratch", "scratches"),
        ("oil_stain", "an oil stain", "oil stains"),
        ("crush", "a crush", "crushes"),
        ("cavity", "a cavity", "cavities"),
        ("tray", "a tray", "trays"),
        ("Abrasion", "an Abrasion", "Abrasions"),
        ("bent", "a bent area", "bent areas"),
        ("broken_large", "a broken large area", "broken large areas"),
        ("metal_contamination", "a metal contamination area", "metal contamination areas"),
        ("defective", "a defect", "defects"),
        ("ko", "a defect", "defects"),
        ("split_teeth", "a split teeth area", "split teeth areas"),
    ],
)
def test_a_class_name_counted(name, one, several):
    noun = words.noun(name)
    assert words.with_article(noun) == one
    assert words.plural(noun) == several


def test_numbers_are_words_up_to_ten():
    assert [words.number(n) for n in (1, 2, 10, 11, 40)] == ["one", "two", "ten", "11", "40"]


@pytest.mark.parametrize(
    ("parts", "phrase"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a and b", "c"], "a and b, and c"),
        (["a", "b and c", "d"], "a, b and c, and d"),
    ],
)
def test_lists_keep_their_parts_apart(parts, phrase):
    assert words.listed(parts) == phrase
