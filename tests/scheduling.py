"""Tests dealt to processes: groups stay together, also after one of the processes has crashed."""

from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling


class GoesOnAfterACrash(LoadGroupScheduling):  # type: ignore[misc]  # it has no types
    """A test that took its process along has failed; the original begins it again in one process after another."""

    def remove_node(self, node: Any) -> str | None:
        units = self.assigned_work.pop(node)
        pending = [(unit, test) for unit in units.values() for test, is_done in unit.items() if not is_done]
        if not pending:
            return None
        unit, crashed = pending[0]  # it runs them in this order
        unit[crashed] = True
        self.workqueue.update({scope: unit for scope, unit in units.items() if not all(unit.values())})
        for other in self.assigned_work:
            self._reschedule(other)
        return str(crashed)


@pytest.hookimpl(optionalhook=True)  # it is nobody's where pytest-xdist is switched off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GoesOnAfterACrash | None:
    return GoesOnAfterACrash(config, log) if config.getvalue("dist") == "loadgroup" else None
