"""Files of bracketed trees."""

import pytest


@pytest.fixture
def bank(tmp_path):
    """bank(text): a file of these trees."""

    def write(text, name="bank.mrg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write
