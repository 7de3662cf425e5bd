"""What tests are marked with."""

import pytest

operation = pytest.mark.operation
"""The operations that a test speaks for: their outcome is the test's."""

choice = pytest.mark.choice
"""What AWS's documentation leaves open, and how Campana decided."""
