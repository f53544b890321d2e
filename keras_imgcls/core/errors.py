"""The one error that users see as a line rather than a traceback, and the nearest valid name for it."""

import difflib
import errno
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: what was expected, what was received, the nearest valid thing.

    The command line prints it as one line and exits 1.
    """


class CannotWrite(UserError):
    """A file can't be written. What was in work is not to blame for it, and can go on once there is room."""


def is_full(error: BaseException) -> bool:
    """Whether a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'resnet20'?"`, or an empty string where nothing known is close to `name`."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""
