import pytest

from keras_imgcls.core.errors import UserError
from keras_imgcls.tuning.service import address


def test_a_chief_listens_on_localhost_unless_it_is_told_a_host():
    assert address("8900") == ("127.0.0.1", 8900)
    assert address("10.0.0.5:8900") == ("10.0.0.5", 8900)


@pytest.mark.parametrize("text", ["", "here", "here:", ":99999", "localhost:0"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UserError, match="Expected PORT or HOST:PORT"):
        address(text)
