import pytest

pytest.register_assert_rewrite("tests.stories.one_story", "tests.stories.tellers")
