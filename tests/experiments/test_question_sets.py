"""Tests of how many questions of each kind a profile gets."""

import pytest

from ecg_lib.experiments.question_sets import _sizes
from ecg_lib.questions.worlds import find_world


@pytest.mark.parametrize("world", ["ecgqa", "nature", "do"])
def test_comparisons_have_the_share_that_is_asked_for_and_nothing_else_changes(world):
    asked = find_world(world)
    own, changed = _sizes(asked, 80, None), _sizes(asked, 80, 0.125)
    assert changed.comparison_verify == changed.comparison_query == 10
    assert (changed.verify, changed.query, changed.choose) == (own.verify, own.query, own.choose)
    assert own == asked.sizes(80)
    assert _sizes(asked, 2, 0.125).comparison_verify == 1, "never none"
