"""Ids have the form that they say they have."""

import uuid

from campana.clock import Ids


def test_a_uuid_is_one_of_version_4_in_its_canonical_form() -> None:
    ids = Ids(seed=7)

    made = [ids.uuid() for _ in range(1000)]

    assert len(set(made)) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_message_ids_rise_even_when_the_clock_does_not() -> None:
    ids = Ids(seed=7)

    made = [ids.message(now) for now in (1000, 1000, 1001, 900, 1001)]

    assert made == sorted(made)
    assert all(len(text) == 64 for text in made)
