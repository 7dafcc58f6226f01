#!/usr/bin/env bash
# Three programs from the registry, each with two lines changed: one in Cargo.toml, one that names the
# allocator. They run their own tests over Plimsoll, and then real work in turns over bare jemalloc and
# over Plimsoll. Prints the median of the ratios, and the spread.
#
#   benches/peers/swap.sh [LAYOUTS [ROUNDS]]        4 layouts and 11 rounds of each when left out
#
# Each is linked several times with its functions in another order: see layouts.sh. All of it happens in a
# temporary folder. Needs Node.js, which draws the image, and LLVM's linker, which Rust brings on x86-64 Linux.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
root=$PWD layouts=${1:-4} rounds=${2:-11}
for number in "$layouts" "$rounds"; do
    [[ $number =~ ^[1-9][0-9]*$ ]] || {
        echo "swap.sh: \`$number\`: expected a number of layouts, and one of rounds of each" >&2
        exit 2
    }
done
command -v node >/dev/null || {
    echo "swap.sh: node is missing: install it (Debian: apt-get install nodejs)" >&2
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Where the registry's sources of one version lie.
cargo new --quiet --vcs none --lib "$folder/fetch"
cat >>"$folder/fetch/Cargo.toml" <<'END'
ripgrep = "=15.2.0"
jaq = "=3.1.2"
oxipng = "=10.2.1"
END
(cd "$folder/fetch" && cargo fetch --quiet)
source_of() {
    find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -mindepth 2 -maxdepth 2 -name "$1" | head -1
}

# One program with one allocator: its copy, its tests, its executables.
declare -A sources=([ripgrep]=ripgrep-15.2.0 [jaq]=jaq-3.1.2 [oxipng]=oxipng-10.2.1)
declare -A mains=([ripgrep]=crates/core/main.rs [jaq]=src/main.rs [oxipng]=src/main.rs)
declare -A executables=([ripgrep]=rg [jaq]=jaq [oxipng]=oxipng)
# jaq brings an allocator, behind a feature.
declare -A options=([ripgrep]='' [jaq]='--no-default-features' [oxipng]='')
export CARGO_TARGET_DIR=$folder/target
build() { # program, allocator, dependency, static
    local own=$folder/$2/$1
    mkdir -p "$folder/$2"
    cp -r "$(source_of "${sources[$1]}")" "$own"
    chmod -R u+w "$own"
    (
        cd "$own"
        # shellcheck disable=SC2086 # words
        cargo add --quiet $3 2>/dev/null
        printf '\n#[global_allocator]\nstatic SWAPPED: %s;\n' "$4" >>"${mains[$1]}"
        for ((seed = 1; seed <= layouts; seed++)); do
            mkdir -p "$folder/$2/$seed"
            # shellcheck disable=SC2086 # words
            cargo rustc --quiet --release ${options[$1]} --bin "${executables[$1]}" -- \
                -C link-arg=-fuse-ld=lld -C "link-arg=-Wl,--shuffle-sections=.text*=$seed" 2>"$folder/said" || {
                cat "$folder/said" >&2
                exit 1
            }
            cp "$CARGO_TARGET_DIR/release/${executables[$1]}" "$folder/$2/$seed/"
        done
    )
}
own_tests() { # program
    local said=$folder/$1.tests
    # shellcheck disable=SC2086 # words
    (cd "$folder/plimsoll/$1" && cargo test --release ${options[$1]} >"$said" 2>&1) || {
        cat "$said" >&2
        echo "swap.sh: the tests of $1 fail over Plimsoll" >&2
        exit 1
    }
    sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' "$said" | awk '{ sum += $1 } END { print sum }'
}

# Work: text to search, JSON to go through, an image to make smaller.
text=$(dirname "$(source_of ripgrep-15.2.0)")
awk 'BEGIN {
    srand(7); print "["
    for (row = 0; row < 150000; row++) printf "%s{\"id\": %d, \"name\": \"child %d\", \"tags\": [\"a%d\", \"b\"], \"at\": {\"x\": %.4f}}\n", \
        (row ? "," : ""), row, row % 977, row % 31, rand()
    print "]"
}' >"$folder/rows.json"
node - "$folder/drawn.png" <<'END'
const zlib = require("node:zlib"), fs = require("node:fs");
const [width, height] = [900, 700];
const rows = Buffer.alloc(height * (1 + width * 3));
for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
        const at = y * (1 + width * 3) + 1 + x * 3;
        rows[at] = (x * 255) / width; rows[at + 1] = (y * 255) / height; rows[at + 2] = (x * y) % 61;
    }
const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const whole = Buffer.alloc(body.length + 8);
    whole.writeUInt32BE(data.length, 0); body.copy(whole, 4);
    whole.writeUInt32BE(zlib.crc32(body), body.length + 4);
    return whole;
};
const head = Buffer.alloc(13);
head.writeUInt32BE(width, 0); head.writeUInt32BE(height, 4); head.set([8, 2, 0, 0, 0], 8);
fs.writeFileSync(process.argv[2], Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk("IHDR", head),
    chunk("IDAT", zlib.deflateSync(rows)), chunk("IEND", Buffer.alloc(0)),
]));
END
work() { # program, allocator, layout
    local bin=$folder/$2/$3
    case $1 in
    ripgrep) "$bin/rg" --no-config --no-ignore -j2 -c 'fn \w+_\w+\(' "$text" ;;
    jaq) "$bin/jaq" '[.[] | select(.at.x > 0.5) | {name, n: (.tags | length)}] | group_by(.name) | map({(.[0].name): length}) | add' "$folder/rows.json" ;;
    oxipng) "$bin/oxipng" -o 3 -t 2 -q --stdout "$folder/drawn.png" ;;
    esac
}
nanoseconds() {
    local begun
    begun=$(date +%s%N)
    work "$@" >"$folder/$2/result"
    echo $(($(date +%s%N) - begun))
}

echo '| program | its own tests | bare jemalloc, median | Plimsoll to bare, median (quartiles) |'
echo '|---|---|---|---|'
for program in ripgrep jaq oxipng; do
    build "$program" bare tikv-jemallocator@0.7 'tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc'
    build "$program" plimsoll "plimsoll --path $root" 'plimsoll::Plimsoll = plimsoll::Plimsoll::new()'
    passed=$(own_tests "$program")
    : >"$folder/times"
    for ((round = 0; round <= rounds; round++)); do
        for ((seed = 1; seed <= layouts; seed++)); do
            if (((round + seed) % 2)); then
                bare=$(nanoseconds "$program" bare "$seed")
                ours=$(nanoseconds "$program" plimsoll "$seed")
            else
                ours=$(nanoseconds "$program" plimsoll "$seed")
                bare=$(nanoseconds "$program" bare "$seed")
            fi
            # The first round warms the file cache.
            ((round == 0)) || echo "$bare $ours" >>"$folder/times"
        done
    done
    # Lines in any order: threads print as they finish.
    cmp <(LC_ALL=C sort "$folder/bare/result") <(LC_ALL=C sort "$folder/plimsoll/result")
    at() { sort -g | awk -v share="$1" '{ of[NR] = $1 } END { print of[int((NR - 1) * share) + 1] }'; }
    ratios() { awk '{ print $2 / $1 }' "$folder/times"; }
    printf '| %s | %d pass | %.0f ms | %.3f (%.3f to %.3f) |\n' "${sources[$program]}" "$passed" \
        "$(awk '{ print $1 / 1e6 }' "$folder/times" | at 0.5)" \
        "$(ratios | at 0.5)" "$(ratios | at 0.25)" "$(ratios | at 0.75)"
done
