"""Values of flags that are held against what they allow."""

import pytest

from keras_imgcls.core import config
from keras_imgcls.core.errors import UserError


def test_image_sizes_are_read_from_their_schedule():
    assert config.image_sizes("") == []
    assert config.image_sizes("64@1| 96@9|128@13") == [(0, 64), (8, 96), (12, 128)]


@pytest.mark.parametrize("schedule", ["64", "64@", "@3", "64@0", "0@1", "64@3|96@3", "64@3|96@2", "64@1|"])
def test_a_schedule_of_another_form_is_told(schedule):
    with pytest.raises(UserError, match=r"--image_size_schedule (is SIZE@EPOCH|has growing epochs)"):
        config.image_sizes(schedule)
