import io
import os
import re

import pytest

from keras_imgcls.core import console


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (42, "42 s"), (185, "3:05 min"), (59.7, "1:00 min"), (7800, "2:10:00 h")]
)
def test_durations(seconds, text):
    assert console.duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\rb\x9b2J", r"a\rb\x9b2J"),
        ("gpj.\u202efdp", r"gpj.\u202efdp"),
        ("\udcff.png", r"\udcff.png"),
        ("été 猫\u3000می\u200cخواهم", "été 猫\u3000می\u200cخواهم"),
    ],
)
def test_a_terminal_is_told_names_and_obeys_none(capsys, name, shown):
    console.note(f"{name}\nnext")
    console.warn(name)
    assert capsys.readouterr() == (f"{shown}\nnext\n", f"warning: {shown}\n")
    stream = io.StringIO()
    console.Progress(1, name, stream).update(1, name, force=True)
    assert stream.getvalue().count(shown) == 2


def test_tables_are_aligned():
    assert console.table([("a", 1), ("long", 22)], ("name", "n")) == "name  n\n----  --\na     1\nlong  22"
    assert console.table([]) == ""


def test_a_terminal_gets_one_line_that_is_redrawn():
    stream = Terminal()
    progress = console.Progress(10, "work", stream)
    progress.update(5, "halfway", force=True)
    progress.clear()
    assert "\n" not in stream.getvalue()
    assert "work   50%" in stream.getvalue() and "halfway" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_pipe_gets_plain_lines_now_and_then():
    stream = io.StringIO()
    progress = console.Progress(10, "work", stream, piped_seconds=3600)
    for done in range(10):
        progress.update(done)
    assert stream.getvalue() == ""
    progress.update(10, force=True)
    progress.clear()
    assert re.fullmatch(r"work  100%  ETA 0\.0 s\n", stream.getvalue())


def test_the_eta_counts_only_what_was_done_since_a_resume(monkeypatch):
    clock = iter([0.0, 90.0, 100.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    progress = console.Progress(100, "", stream)
    progress.start_at(80)
    progress.update(90, force=True)
    assert "ETA 10 s" in stream.getvalue()


def test_native_noise_is_hidden_unless_the_block_fails(capfd):
    with console.quiet():
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ZeroDivisionError), console.quiet():
        os.write(2, b"the reason\n")
        raise ZeroDivisionError
    assert capfd.readouterr().err == "the reason\n"
    with console.quiet(show=True):
        os.write(2, b"wanted\n")
    assert capfd.readouterr().err == "wanted\n"


def test_commands_to_paste_are_spelt_as_the_process_was_started(monkeypatch):
    monkeypatch.delenv("KERAS_IMGCLS_BIN", raising=False)
    monkeypatch.setattr(console.sys, "argv", ["/env/bin/keras-imgcls"])
    assert console.command("view", "--run_dir=my run") == "keras-imgcls view '--run_dir=my run'"
    monkeypatch.setattr(console.sys, "argv", ["/somewhere/keras_imgcls/__main__.py"])
    assert console.command("view") == "python -m keras_imgcls view"
    monkeypatch.setenv("KERAS_IMGCLS_BIN", "../a clone/bin")
    assert console.command("view") == "'../a clone/bin/view'"
