"""Children: how a process that we started came to its end, in words."""

import signal

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)  # 137: what a shell between us says


def ending(code: int, advice: str, last_words: str = "") -> str:
    """What the exit code of a child says, to follow the name of the child.

    Args:
        code: as `subprocess` gives it: -9 for a child that signal 9 ended.
        advice: what to do where memory ran out.
        last_words: what the child wrote last, for an end of its own.
    """
    if code in KILLED:
        return f"was killed by the kernel or a user (signal 9), most likely out of memory: {advice}"
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"ended with exit code {code}" + (f": {last_words}" if last_words else "")
