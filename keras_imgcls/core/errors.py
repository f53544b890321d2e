"""The one error that users see as a line rather than a traceback, and the nearest valid name for it."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: what was expected, what was received, the nearest valid thing.

    The command line prints it as one line and exits 1.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'resnet20'?"`, or an empty string where nothing known is close to `name`."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""
