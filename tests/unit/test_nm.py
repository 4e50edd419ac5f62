"""What each type letter means, and what a module's row makes of its case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.sources.nm import LETTERS, TEXT_LETTERS, classify, is_text_letter

# The nm manual's list.
MANUAL = "AaBbCcDdGgIiNnpRrSsTtUuVvWw-?"


def test_every_letter_of_the_manual_has_a_class():
    assert frozenset(MANUAL) == LETTERS
    for letter in MANUAL:
        found = classify(letter)
        assert found.letter == letter
        assert found.name
        assert found.scope
        assert found.sentence


@pytest.mark.parametrize("letter", "abdgrst")
def test_case_is_the_binding_in_the_core_kernel(letter: str):
    assert classify(letter).scope == "local"
    assert classify(letter.upper()).scope == "global"
    assert classify(letter).name == classify(letter.upper()).name


@pytest.mark.parametrize("letter", "vwu")
def test_lower_case_is_not_local_for_weak_and_unique(letter: str):
    assert classify(letter).scope in {"weak", "unique"}


@pytest.mark.parametrize("letter", "abdgrstvwnu")
def test_case_is_the_export_in_a_module(letter: str):
    assert classify(letter, "ext4").scope == "not exported"
    assert classify(letter.upper(), "ext4").scope == "exported"


def test_a_gpl_export_of_a_module_keeps_its_lower_case():
    found = classify("t", "kvm", exported=True)
    assert (found.letter, found.scope) == ("t", "exported")


def test_a_weak_symbol_may_be_code():
    assert {letter for letter in MANUAL if is_text_letter(letter)} == {"t", "T", "w", "W"} == TEXT_LETTERS


@given(st.text(max_size=3), st.text(max_size=3))
def test_anything_has_a_class(letter: str, module: str):
    found = classify(letter, module)
    assert found.letter == letter
    assert found.name
    assert found.scope
