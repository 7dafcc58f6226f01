#!/usr/bin/env bash
# Real programs over Plimsoll and over bare jemalloc, each linked several times with its functions in another order.
#
#   benches/peers/layouts.sh [LAYOUTS [ROUNDS]]        6 layouts and 20 rounds of each when left out
#
# What a change of layout alone does to a program's time is as large as what is measured here (Mytkowicz et al. 2009,
# "Producing Wrong Data Without Doing Anything Obviously Wrong"): one pair of executables tells as much of
# its linking as of its allocator. Needs LLVM's linker, which Rust brings on x86-64 Linux.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
layouts=${1:-6} rounds=${2:-20}
for number in "$layouts" "$rounds"; do
    [[ $number =~ ^[1-9][0-9]*$ ]] || {
        echo "layouts.sh: \`$number\`: expected a number of layouts, and one of rounds of each" >&2
        exit 2
    }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for ((seed = 1; seed <= layouts; seed++)); do
    mkdir "$folder/$seed"
    for peer in bare-jemalloc plimsoll; do
        # As the bench is built.
        CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
            cargo rustc --quiet --locked --release --target-dir target/layouts -p plimsoll-peers \
            --no-default-features --features programs --bin "peer-$peer" -- \
            -C link-arg=-fuse-ld=lld -C "link-arg=-Wl,--shuffle-sections=.text*=$seed"
        cp "target/layouts/release/peer-$peer" "$folder/$seed/"
    done
done
cargo bench --quiet --locked -p plimsoll-peers --no-default-features --features programs --bench peers -- \
    --only plimsoll --workload json,json-large,regex,sqlite,compiler --rounds $((layouts * rounds)) --layouts "$folder"
