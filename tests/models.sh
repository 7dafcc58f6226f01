#!/usr/bin/env bash
# The protocols between threads: under loom in every interleaving, under shuttle with more threads in thousands of
# random ones. The code is that which ships, with other atomics.
#
#   tests/models.sh
set -euo pipefail
cd "$(dirname "$0")/.."
models() {
    cargo test --release --locked --manifest-path tests/models/Cargo.toml --target-dir target/models --lib "$@"
}
models
models --features shuttle
