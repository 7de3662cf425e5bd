"""What campana.elastic decides, as values."""

from hypothesis import given
from hypothesis import strategies as st

from campana import elastic


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, int]:
    target = draw(st.integers(2, 60))
    return target, elastic.minimum_memberships(target, draw(st.integers(1, 40)))


def test_the_minimum_is_the_ceiling_of_the_percentage() -> None:
    assert [elastic.minimum_memberships(10, each) for each in (1, 10, 11, 40)] == [1, 1, 2, 4]
    assert elastic.minimum_memberships(3, 40) == 2


@given(plans(), st.integers(1, 300), st.integers(1, 70))
def test_joining_one_after_the_other_loses_nobody_and_overfills_nothing(
    plan: tuple[int, int], number: int, most: int
) -> None:
    target, minimum = plan
    sizes: dict[str, int] = {}
    for joined in range(1, number + 1):
        name = elastic.sub_channel_for(sizes, target)
        if name is None:
            name = f"s{len(sizes)}"
            sizes[name] = 1
            while moves := elastic.moves_to(name, sizes, most):
                assert moves == elastic.moves_to(name, dict(sizes), most)
                assert sum(moves.values()) <= most
                for old, moved in moves.items():
                    sizes[old] -= moved
                    sizes[name] += moved
        else:
            sizes[name] += 1
        assert sum(sizes.values()) == joined
        assert max(sizes.values()) <= target
        assert len(sizes) == 1 or min(sizes.values()) >= minimum


@given(plans(), st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_balancing_ends_keeps_everybody_and_leaves_one(plan: tuple[int, int], drawn: list[int]) -> None:
    target, minimum = plan
    sizes = {f"s{place}": min(size, target) for place, size in enumerate(drawn)}
    total = sum(sizes.values())
    while found := elastic.join(sizes, minimum=minimum, target=target):
        assert found == elastic.join(dict(sizes), minimum=minimum, target=target)
        assert sizes[found.ending] < minimum
        sizes[found.staying] += sizes.pop(found.ending)
        assert sizes[found.staying] <= target
    assert sizes
    assert sum(sizes.values()) == total
