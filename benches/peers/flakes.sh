#!/usr/bin/env bash
# A thousand tests with exact figures, run beside each other again and again, by `cargo test`'s harness
# and by nextest: with Plimsoll, stats_alloc and dhat. Prints how many runs and tests failed, or never ended.
#
#   benches/peers/flakes.sh [RUNS] [OF PEERS]   200 and 20 when left out: theirs are long, and hardly one ends
#
# Without nextest, by `cargo test`'s harness only.
#
# The test threads are 8, however few the processors, so that tests do run beside each other.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-200} of_peers=${2:-20}

cargo test --quiet --test thousand --no-run
cargo test --quiet -p plimsoll-peers --test thousand_stats_alloc --test thousand_dhat --no-run
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# Runs the rest of its arguments that often. A run that has not ended after a minute is killed.
again() { # name, way, command
    local name=$1 way=$2 failed=0 hung=0 tests=0 status count runs=$runs
    shift 2
    [ "$name" = Plimsoll ] || runs=$of_peers
    for ((run = 0; run < runs; run++)); do
        status=0
        timeout --kill-after=5 "${patience:-60}" "$@" >"$said" 2>&1 || status=$?
        if [ "$status" = 124 ] || [ "$status" = 137 ]; then
            hung=$((hung + 1))
        elif [ "$status" != 0 ]; then
            failed=$((failed + 1))
            count=$(sed -n 's/.* \([0-9]*\) failed.*/\1/p' "$said" | tail -1)
            # Without a last line the process died.
            tests=$((tests + ${count:-1000}))
        fi
    done
    printf '%-12s %-11s %4d runs of 1,000 tests: %d failed with %d failures, %d did not end\n' \
        "$name" "$way" "$runs" "$failed" "$tests" "$hung"
}

by_cargo() { # name, package, test
    local binary
    binary=$(cargo test --quiet -p "$2" --test "$3" --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep "/$3-" | tail -1)
    # As cargo test runs it, without looking for something to build each time.
    again "$1" 'cargo test' "$binary" --test-threads=8 --quiet
}

by_nextest() { # name, package, test
    command -v cargo-nextest >/dev/null || return 0
    patience=300 again "$1" nextest cargo nextest run -p "$2" --test "$3" --test-threads 8 \
        --no-fail-fast --status-level none --final-status-level none
}

for way in by_cargo by_nextest; do
    $way Plimsoll plimsoll thousand
    $way stats_alloc plimsoll-peers thousand_stats_alloc
    $way dhat plimsoll-peers thousand_dhat
done
