# Makes ROOT/.venv anew and whole, or leaves things as they were. Sourced by launch, whose names it uses.
#
# A venv's scripts hold its path, so it is built in place, with the former one at .venv.old. That folder stands, empty
# where there was none, from the first change to the last: whoever finds it knows that a set-up was cut off, and by the
# stamp which of the two is whole.

old=$root/.venv.old
log=$root/.venv.log
child=

say() { printf 'keras_imgcls: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

choose_base() { # sets base to the interpreter to build with
    local name path answer version found=
    local ask='import sys; print("%d.%d" % sys.version_info[:2]); import ensurepip, venv; print(sys._base_executable)'
    for name in python3.13 python3.12 python3.11 python3 python; do
        path=$(type -P $name) || continue
        # Only running it tells: a pyenv shim may stand for a version that is not set up, Debian's may lack ensurepip.
        answer=$("$path" -E -s -c "$ask" 2>/dev/null </dev/null)
        version=${answer%%$'\n'*}
        base=${answer#"$version"}
        base=${base#$'\n'}
        case $version in
        3.11 | 3.12 | 3.13)
            [ -z "$base" ] || return 0
            found="$found, $name is $version but lacks venv (Debian, Ubuntu: apt install python$version-venv)"
            ;;
        '') found="$found, $name does not run" ;;
        *) found="$found, $name is $version" ;;
        esac
    done
    found=${found:-, none}
    fail "needs Python 3.11, 3.12 or 3.13. Found on PATH: ${found#, }."
}

# The lock belongs to the open file, which the shell shares with its children. The kernel drops it when the last of
# them ends, however that comes, so no lock is ever stale; and a pip that outlives a killed shell keeps the next start
# waiting until it has written its last.
lock() {
    [ -w "$root" ] || fail "cannot write in $root, where .venv belongs. Activate an environment that has keras_imgcls."
    exec 9>"$root/.venv.lock" || exit 1
    "$base" -E -s -c '
import fcntl, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.stderr.write("keras_imgcls: another start is setting up the environment; waiting for it ...\n")
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError as error:
    sys.stderr.write("keras_imgcls: no locks on this file system (%s): start nothing else meanwhile.\n" % error)
' </dev/null || exit 1
}

destroy() {
    rm -f "$1/${stamp##*/}" # first, so that half a folder never passes for a whole one
    rm -rf "$1"
}

settle() { # ends what was cut off: keeps the one that is whole
    [ -e "$old" ] || return 0
    if [ -e "$stamp" ]; then
        destroy "$old"
    else
        destroy "$venv"
        if [ -e "$old/${stamp##*/}" ]; then mv "$old" "$venv"; else destroy "$old"; fi
    fi
}

step() { # runs a command, its output to the log
    # In the background, since a trap has to wait for a foreground command; in a process group of its own (set -m), to
    # end it with its children.
    set -m
    (cd "$root" && exec "$@") >>"$log" 2>&1 </dev/null &
    child=$!
    set +m
    wait "$child" || {
        child=
        say "the set-up failed; no environment was made or changed. The end of $log:"
        tail -n 12 "$log" | sed 's/^/    /' >&2
        exit 1
    }
    child=
}

undo() {
    trap '' HUP INT TERM
    if [ -n "$child" ]; then
        say "the set-up was interrupted; the next start begins it anew."
        kill -INT -- "-$child" 2>/dev/null
        wait "$child" 2>/dev/null
    fi
    settle
}

build() {
    local start=$SECONDS body extras=
    body=$(stamp_body) # now, since setup.cfg may change under pip
    [ ! -e "$stamp" ] || read -r extras <"$stamp" # keeps what bin/test asked for when bin/train renews
    holds_extra "$extras" || extras=${extras:+$extras }$extra
    say "setting up $venv with $base. This happens once and takes a minute or two ..."
    : >"$log"
    trap undo EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ -e "$venv" ]; then mv "$venv" "$old"; else mkdir "$old"; fi || exit 1
    step "$base" -I -m venv "$venv"
    # -I: nothing on PYTHONPATH passes for installed. PIP_USER: a configured `user = true` fails in a venv.
    PIP_USER=0 step "$venv/bin/python" -I -m pip install --disable-pip-version-check --no-input --progress-bar=off \
        --use-pep517 --editable ".[pretrained${extras:+,${extras// /,}}]"
    mv "$log" "$venv/setup.log"
    { printf '%s\n' "$extras" "$body" >"$stamp.new" && mv "$stamp.new" "$stamp"; } || exit 1
    trap - EXIT HUP INT TERM
    settle
    say "ready after $((SECONDS - start)) s."
}

choose_base
[ -z "$lacking" ] || say "not using $lacking."
lock
settle
rmdir "$venv" 2>/dev/null
if [ -e "$venv" ] && [ ! -e "$stamp" ]; then
    fail "$venv is not of our making. Activate it and install into it (pip install -e .), or move it away."
fi
complete || build
exec 9>&-
