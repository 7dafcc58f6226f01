#!/usr/bin/env bash
# The tests of the core under tools that watch memory and threads, over the system's allocator, which
# they know. Not a part of `tests/run.sh`: it compiles everything anew for each sanitizer.
#
#   tests/sanitizers.sh [address] [thread] [memcheck]        all when left out
#
# address    accesses and leaks. The tests of `plimsoll::testing` leak on purpose: there only accesses.
# thread     races, in the standard library too, which is compiled for it (rustup brings its source). Programs
#            whose threads free in the last round of their keys' destructors it cannot run: it has ended them by then.
# memcheck   valgrind, which also sees what the C library does.
#
# Not used: helgrind and drd, which take every atomic load and store for a race; memory, which wants all of std
# compiled for it. Lock-free protocols are explored by loom and shuttle instead, see `tests/models.sh`.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }

# Sanitizers are unstable options, which the stable compiler takes only when told so.
sanitized() { # sanitizer, cargo's option, cargo's arguments
    local sanitizer=$1 option=$2
    shift 2
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_TARGET_DIR=target/$sanitizer \
        cargo $option test --target "$(rustc -vV | sed -n 's/^host: //p')" --no-default-features \
        --features 'cache batch rayon testing' "$@"
}

# What is too large is refused, as an allocator has to, and does not end the program.
refusing=allocator_may_return_null=1

address() {
    step 'address and leaks'
    ASAN_OPTIONS=$refusing sanitized address '' --lib --test allocator --test exactness --test behaviours --test fork --test cache
    ASAN_OPTIONS=$refusing:detect_leaks=0 sanitized address '' --test testing
}

thread() {
    step 'threads'
    [ -d "$(rustc --print sysroot)/lib/rustlib/src" ] || rustup component add rust-src
    # A race fails the program that it is in, at its end.
    TSAN_OPTIONS=$refusing sanitized thread -Zbuild-std --lib --test exactness
}

memcheck() {
    step 'memcheck'
    command -v valgrind >/dev/null || {
        echo 'sanitizers.sh: valgrind is missing: install it (Debian: apt-get install valgrind)' >&2
        return 1
    }
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='valgrind --error-exitcode=9 --leak-check=no --max-threads=5000 --quiet'
    cargo test --no-default-features --lib allocator::
    cargo test --no-default-features --test allocator --test fork
}

for name in "${@:-all}"; do
    case $name in
    all)
        address
        thread
        memcheck
        ;;
    address | thread | memcheck) "$name" ;;
    *)
        echo "sanitizers.sh: \`$name\`: expected address, thread or memcheck" >&2
        exit 2
        ;;
    esac
done
