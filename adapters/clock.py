"""The system's clock."""

from datetime import UTC, datetime


class SystemClock:
    """Trusts the host to keep its clock right (NTP)."""

    def now(self) -> datetime:
        return datetime.now(UTC)
