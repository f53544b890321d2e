"""`python -m keras_imgcls VERB`, which `bin/VERB` and the console script `keras-imgcls VERB` are too."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_imgcls.core import options, signals
from keras_imgcls.core.console import note
from keras_imgcls.core.errors import UserError, is_full, nearest

COMMANDS = Path(__file__).with_name("commands")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code: 0 where all that was asked was done."""
    if arguments is None:  # as a program; a caller in Python keeps its own handlers
        signals.obey()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(arguments)
    except UserError as error:
        note(f"error: {error}", sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has left (`| head`): no traceback, and none at exit either
        _drop_output()
        return 141
    except OSError as error:
        if not is_full(error):
            raise
        _drop_output()
        note(f"error: Can't write {error.filename or 'the output'}: {error.strerror}.", sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr, flush=True)
        return getattr(error, "code", 130)
    except ImportError:  # a signal in the midst of an import: what was half loaded can't be loaded again
        if signals.requested() is None:
            raise
        print("interrupted", file=sys.stderr, flush=True)
        return 128 + signals.requested()


def _drop_output() -> None:
    """What is left of standard output goes nowhere, so that Python doesn't try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    try:
        return _dispatch(arguments)
    except options.HelpRequested as text:
        note(str(text))
        return 0


def _dispatch(arguments: list[str]) -> int:
    verbs = sorted(path.stem for path in COMMANDS.glob("*.py") if path.stem != "__init__")
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        raise options.HelpRequested(_overview(verbs))
    verb, *rest = arguments
    if verb not in verbs:
        raise UserError(f"Unknown verb '{verb}'.{nearest(verb, verbs)} Known: {', '.join(verbs)}.")
    command = _command(verb)
    action = _take_action(command, verb, rest)
    config = options.parse(command.CONFIG, rest, command.USAGE)
    options.check(config)
    return command.run(config, *action)


def _take_action(command, verb: str, rest: list[str]) -> list[str]:
    """The words in front of the flags that a command such as `bin/models info resnet20` takes, removed from `rest`."""
    actions = getattr(command, "ACTIONS", ())
    words = []
    while actions and rest and not rest[0].startswith("-") and len(words) < 2:
        words.append(rest.pop(0))
    asks_for_help = any(argument in ("--help", "-h") for argument in rest)
    if actions and not asks_for_help and (not words or words[0] not in actions):
        received = f"received '{words[0]}'.{nearest(words[0], actions)}" if words else "received nothing."
        raise UserError(f"bin/{verb} is followed by {' or '.join(actions)}; {received}")
    return [*words, "", ""][:2] if actions else []


def _overview(verbs: list[str]) -> str:
    lines = ["Image classification with Keras, from a folder of pictures to a model on a phone.", ""]
    lines += [f"  {verb:<10} {_command(verb).USAGE.splitlines()[0]}" for verb in verbs]
    return "\n".join([*lines, "", "VERB --help shows the flags of a verb."])


def _command(verb: str):
    return importlib.import_module(f"keras_imgcls.commands.{verb}")


if __name__ == "__main__":
    sys.exit(main())
