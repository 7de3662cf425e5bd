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


def test_a_uuid_in_time_is_one_of_version_7_and_comes_after_those_of_earlier_milliseconds() -> None:
    ids = Ids(seed=7)
    times = [0, *range(1_800_000_000_000, 1_800_000_000_999), 2**48 - 1]

    made = [ids.uuid_in_time(now) for now in times]

    assert made == sorted(made)
    assert len({ids.uuid_in_time(times[1]) for _ in range(1000)}) == 1000
    for text, now in zip(made, times, strict=True):
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 7, uuid.RFC_4122)
        assert parsed.int >> 80 == now


def test_message_ids_rise_even_when_the_clock_does_not() -> None:
    ids = Ids(seed=7)

    made = [ids.message(now) for now in (1000, 1000, 1001, 900, 1001)]

    assert made == sorted(made)
    assert all(len(text) == 64 for text in made)
