# shellcheck shell=bash
# Sourced by script/run and script/test: makes a fresh machine ready, by itself. What is there already is left alone,
# so that a second run costs a few hundredths of a second.
#
#   setup run     what TraceScope needs          setup test    that, and what its tests need

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

# step TEXT COMMAND…: one line for the step; the command's output only when it fails.
step() {
    local output
    say "$1"
    shift
    output=$("$@" 2>&1 </dev/null) && return
    printf '%s\n' "$output" >&2
    return 1
}

# ---- distribution packages

# PACKAGE:TEST pairs; a test without a slash is a command on PATH, but for those that `has` knows.
packages_run=(python3-bpfcc:bcc libbpf1:libbpf bpftrace:bpftrace linux-perf:perf)
packages_test=(bpftool:bpftool clang:clang llvm:llvm-strip gcc:gcc libc6-dev:/usr/include/stdio.h binutils:readelf
    strace:strace tmux:tmux procps:ps git:git make:make libbpf-dev:/usr/include/bpf/libbpf.h
    libelf-dev:/usr/include/libelf.h zlib1g-dev:/usr/include/zlib.h)

has() {
    case $1 in
    bcc) compgen -G '/usr/lib*/python3*/*-packages/bcc/__init__.py' >/dev/null ;;
    libbpf) compgen -G '/usr/lib*/libbpf.so.1' >/dev/null || compgen -G '/usr/lib/*/libbpf.so.1' >/dev/null ;;
    perf) perf --version >/dev/null 2>&1 ;; # some distributions ship a wrapper around nothing
    /*) [ -e "$1" ] ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

missing_packages() {
    local pair
    for pair in "$@"; do
        has "${pair#*:}" || printf '%s ' "${pair%%:*}"
    done
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$@"
}

# One package that cannot be had must not keep the others away.
apt_install_each() {
    local package failed=0
    apt_install "$@" && return
    for package in "$@"; do
        apt_install "$package" || failed=1
    done
    return "$failed"
}

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install_packages() {
    may_install || return 0
    step "setup: apt-get update" apt-get -q -o DPkg::Lock::Timeout=300 update || true
    step "setup: apt-get install $*" apt_install_each "$@" || true
}

setup_packages() {
    local pairs=("${packages_run[@]}") missing tried=$venv/.tracescope-packages
    [ "$1" = test ] && pairs+=("${packages_test[@]}")
    missing=$(missing_packages "${pairs[@]}")
    [ -n "$missing" ] || return 0
    # What could not be installed is not tried again within a day.
    if may_install && ! { [ "$(cat "$tried" 2>/dev/null)" = "$missing" ] && [ -n "$(find "$tried" -mtime -1)" ]; }; then
        # shellcheck disable=SC2086 # package names, split on purpose
        install_packages $missing
        missing=$(missing_packages "${pairs[@]}")
        printf '%s' "$missing" >"$tried"
    fi
    [ -z "$missing" ] || say "setup: going on without ${missing% }$(may_install || echo ' (as root, apt installs them)')"
}

# ---- Python

# 3.11 or later, whole enough to make a virtual environment, to run pip and to load BCC.
good_python() {
    "$1" -c 'import ctypes, ensurepip, ssl, sys, venv, zlib; sys.exit(sys.version_info < (3, 11))' \
        >/dev/null 2>&1 </dev/null
}

find_python() {
    local python
    for python in python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        good_python "$python" && printf '%s' "$python" && return
    done
    return 1
}

make_venv() {
    local python
    if ! python=$(find_python); then
        install_packages python3 python3-venv
        python=$(find_python) || die "setup: no Python 3.11 or later that can make a virtual environment is on PATH" \
            "(Debian and Ubuntu: apt-get install python3 python3-venv)"
    fi
    step "setup: virtual environment .venv ($python)" "$python" -m venv --clear "$venv"
}

# A venv whose Python vanished, or that was copied here from another place, is of no use.
good_venv() {
    "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 </dev/null || return
    [ ! -e "$venv/bin/tracescope" ] || grep -qF "$venv/bin/" "$venv/bin/tracescope"
}

# What the installed packages hang on: the project's own files, the Python and the place.
fingerprint() {
    printf '%s %s ' "$root" "$("$venv/bin/python" -V 2>&1)"
    cat "$root/pyproject.toml" "$root/constraints.txt" | cksum
}

# -I: a PYTHONPATH or a file in the working folder must not stand in for pip.
pip_install() { "$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$@"; }

setup_python() {
    local extra='' stamp
    [ "$1" = test ] && extra='[dev]'
    # `test` installs more than `run`: its stamp serves for both.
    for stamp in "$venv/.tracescope-test" "$venv/.tracescope-$1"; do
        [ -x "$venv/bin/tracescope" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint 2>/dev/null)" ] && return
    done
    good_venv || make_venv
    "$venv/bin/python" -I -c 'import pip' 2>/dev/null || step "setup: pip" "$venv/bin/python" -I -m ensurepip
    # hatchling first and no build isolation: the pinned versions hold for the build as well.
    step "setup: build tool" pip_install hatchling
    step "setup: Python packages$extra" pip_install --no-build-isolation -e "$root$extra"
    fingerprint >"$stamp"
}

setup() {
    setup_python "$1"
    setup_packages "$1"
}
