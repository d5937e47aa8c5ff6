"""What an object store has to be like for a deletion to delete, and how an operator brings it there."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StorageFinding:
    """One thing that was looked at. `fix` says what to run when it is not as it should be."""

    check: str
    is_ok: bool
    fix: str = ""


class StorageRules(Protocol):
    """The settings of the store itself, beside its objects."""

    async def check(self) -> tuple[StorageFinding, ...]:
        """Look at everything that could keep what we promised to erase, or keep us from working.

        Never raises for an outage: that is a finding too.
        """
        ...

    async def setup(self, *, dry_run: bool) -> tuple[str, ...]:
        """Set the rules by which photos go even if nobody deletes them; leave everybody else's rules alone.

        Returns: what was changed (or would be), a line each; empty when all was in place. Raises: Overloaded.
        """
        ...
