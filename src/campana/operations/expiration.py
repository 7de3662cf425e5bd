"""Expiration settings of channels and users: when somebody must look (spec/identity-auth.md §7)."""

from typing import Final, Protocol

_DAY_MS: Final = 24 * 60 * 60 * 1000


class Settings(Protocol):
    """The ExpirationSettings of either service."""

    @property
    def expiration_days(self) -> int: ...
    @property
    def expiration_criterion(self) -> str: ...


def expires_at(settings: Settings | None, *, created_at: int, last_message_at: int | None = None) -> int | None:
    """The time after which the resource is removed; None: never. Without a message its creation counts."""
    if settings is None:
        return None
    return expiry(settings.expiration_days, settings.expiration_criterion, created_at, last_message_at)


def expiry(days: int, criterion: str, created_at: int, last_message_at: int | None) -> int:
    """The same from a row's columns."""
    if criterion == "LAST_MESSAGE_TIMESTAMP" and last_message_at is not None:
        return last_message_at + days * _DAY_MS
    return created_at + days * _DAY_MS
