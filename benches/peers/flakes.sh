#!/usr/bin/env bash
# A thousand tests with exact figures, run beside each other again and again, by `cargo test`'s harness
# and by nextest: with Plimsoll, stats_alloc and dhat. Prints how many runs and tests failed.
#
#   benches/peers/flakes.sh [RUNS]        200 when left out; nextest is left out where it is missing
#
# The test threads are 8, however few the processors, so that tests do run beside each other.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-200}

cargo test --quiet --test thousand --no-run
cargo test --quiet -p plimsoll-peers --test thousand_stats_alloc --test thousand_dhat --no-run
harness=$(mktemp)
trap 'rm -f "$harness"' EXIT

# One line: who, by what, runs, runs that failed, tests that failed.
report() {
    printf '%-12s %-11s %4d runs of 1,000 tests: %4d failed, with %d failures\n' "$@"
}

by_cargo() { # name, package, test
    local failed=0 tests=0 output
    local binary
    binary=$(cargo test --quiet -p "$2" --test "$3" --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep "/$3-" | tail -1)
    for ((run = 0; run < runs; run++)); do
        # As cargo test runs it, without looking for something to build each time.
        if ! "$binary" --test-threads=8 --quiet >"$harness" 2>/dev/null; then
            failed=$((failed + 1))
            output=$(sed -n 's/.* \([0-9]*\) failed;.*/\1/p' "$harness" | tail -1)
            # Without a last line the process died.
            tests=$((tests + ${output:-1000}))
        fi
    done
    report "$1" 'cargo test' "$runs" "$failed" "$tests"
}

by_nextest() { # name, package, test
    local failed=0 tests=0 output
    command -v cargo-nextest >/dev/null || return 0
    for ((run = 0; run < runs; run++)); do
        if ! cargo nextest run -p "$2" --test "$3" --test-threads 8 --no-fail-fast \
            --status-level none --final-status-level none >"$harness" 2>&1; then
            failed=$((failed + 1))
            output=$(sed -n 's/.* \([0-9]*\) failed.*/\1/p' "$harness" | tail -1)
            tests=$((tests + ${output:-1000}))
        fi
    done
    report "$1" nextest "$runs" "$failed" "$tests"
}

for way in by_cargo by_nextest; do
    $way Plimsoll plimsoll thousand
    $way stats_alloc plimsoll-peers thousand_stats_alloc
    $way dhat plimsoll-peers thousand_dhat
done
