#!/usr/bin/env bash
# The test command: sets up what cargo cannot, then runs every test.
#
#   tests/run.sh
#
# From outside it needs a C compiler (for jemalloc and SQLite), valgrind (which counts the
# instructions of the hot path), Chromium, Node.js and npm (for the dashboard), and Prometheus with
# promtool (for the metrics, rules and alerts). On Debian and its kin, as root, it installs what is
# missing; elsewhere it says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
    local program=$1
    shift
    command -v "$program" >/dev/null && return
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -qq
        # A server's package is not to start it.
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    else
        echo "tests/run.sh: $program is missing: install it (Debian: apt-get install $*)" >&2
        exit 1
    fi
}
need cc gcc
need make make
need valgrind valgrind
need node nodejs
need npm npm
need chromium chromium fonts-dejavu-core
need promtool prometheus

# The dashboard's bundler and the browser's driver, as locked.
for folder in src/http/dashboard tests/browser; do
    npm ci --prefix "$folder" --no-audit --no-fund --silent
done

cargo test --features full

# The promise of the hot path: a pair costs at most 12 instructions over bare jemalloc.
cargo bench -p plimsoll-peers --no-default-features --bench peers -- \
    --only plimsoll --workload pair --rounds 1 --at-most 12
