"""Disk errors of an engine are shown on the screen."""

from lbench.engine.journal.events import Warned
from lbench.engine.session.view import SessionView
from lbench.tui.feeds.feed import disk_trouble


def test_a_full_disk_is_reported_until_there_is_room_again() -> None:
    view = SessionView()
    assert disk_trouble(view) is None
    view.apply(Warned("disk", "the journal cannot be written (No space left on device): the run goes on in memory"))
    view.apply(Warned("busy", "others use the machine"))
    assert disk_trouble(view) == "the journal cannot be written (No space left on device): the run goes on in memory"
    view.apply(Warned("disk", "the journal can be written again: nothing was lost"))
    assert disk_trouble(view) is None
