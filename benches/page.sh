#!/usr/bin/env bash
# Measures, and writes BENCHMARKS.md: every figure with the command that made it, the machine and the day.
#
#   benches/page.sh [SECTION]…        all when left out, which takes two hours; the others stay as they are
#
# As root, on Linux, on a machine that has nothing else to do: some sections make control groups.
# What a section wants and does not find, it says.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
page=BENCHMARKS.md

# name | title | command | what it tells | where its figures begin, if it says more
sections=(
    "peers|Beside its peers|cargo bench -p plimsoll-peers --bench peers|Each crate is the global allocator of a
program of its own. Ratios are to the bare allocator inside, taken within a round; the last column but one
is the geometric mean of the medians of real programs, the last counts instructions under callgrind."
    "layouts|Its own cost in real programs|benches/peers/layouts.sh|Where a linker happens to lay functions moves such
a program by a few per cent. So both sides are linked several times, their functions shuffled, and take turns."
    "swap|Programs with two lines changed|benches/peers/swap.sh|Programs of the registry over Plimsoll: their own
tests, and their time beside bare jemalloc's."
    "flakes|A thousand tests beside each other|benches/peers/flakes.sh 200 5|Each test asserts exact figures. A thousand of
them, 200 times by both harnesses; over the peers 5 times, for a run that does not end is given a minute."
    "harness|The benchmark harness's times|cargo bench --features bench --bench harness -- beside|\`plimsoll::bench\`
counts allocations while the clock runs. Its time beside a bare loop's and criterion's.|nanoseconds, medians"
    "hot_path|Call by call|cargo bench --bench hot_path|Each method of the allocator over the bare one, in one
program."
    "caches|Caches|cargo bench --features full --bench caches|Hits and speed on the same traces; ratios are to
quick_cache, which \`PressureCache\` stands on and which has no time to live."
    "nightly|Two million rows|cargo bench --features full --bench nightly|A report in batches, and with all rows in
memory."
    "batches|Batches and budgets|cargo bench --features full --bench batches|What they add to the work itself."
    "requests|The request layer|cargo bench --features full --bench requests|What it adds to a request."
    "snapshot|Reading the figures|cargo bench --bench snapshot|By the number of threads."
    "crossing|From a line to its callback|cargo bench --bench crossing|While memory grows by 1 GB a second."
    "idle|The monitor at rest|cargo bench --bench idle|What it takes of a processor."
    "survival|Who lives|cargo bench --bench survival|A service that leaks, in a control group of 512 MiB."
)

names=()
for section in "${sections[@]}"; do names+=("${section%%|*}"); done
wanted=("$@")
[ $# -gt 0 ] || wanted=("${names[@]}")
for name in "${wanted[@]}"; do
    [[ " ${names[*]} " == *" $name "* ]] || {
        echo "page.sh: no section \`$name\`: expected some of ${names[*]}" >&2
        exit 2
    }
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
machine="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, \
Linux $(uname -r | cut -d. -f1,2), $(rustc --version | cut -d' ' -f1,2)"

# A section as the page has it, without its marks.
kept() { # name
    [ -f "$page" ] || return 0
    sed -n "/^<!-- $1 -->$/,/^<!-- end of $1 -->$/p" "$page" | sed '1d;$d'
}

measured() { # name, title, command, what it tells, begin
    local command=$3 begin=${5:-}
    echo "page.sh: $command" >&2
    # What is compiled first is not a figure, and what a bench says of its progress is not either.
    # shellcheck disable=SC2086 # words
    $command >"$folder/figures" 2>"$folder/said" || {
        cat "$folder/said" "$folder/figures" >&2
        echo "page.sh: $command failed" >&2
        return 1
    }
    [ -z "$begin" ] || sed -i -n "/^$begin/,\$p" "$folder/figures"
    printf '## %s\n\n%s\n\n`%s`  \n%s, %s.\n\n' "$2" "$4" "$command" "$machine" "$(date -u +%Y-%m-%d)"
    # Tables are for the page, anything else is shown as it was printed.
    if grep -q '^|' "$folder/figures"; then
        cat "$folder/figures"
    else
        printf '```text\n%s\n```\n' "$(cat "$folder/figures")"
    fi
}

for section in "${sections[@]}"; do
    IFS='|' read -r -d '' name title command text begin <<<"$section" || true
    if [[ " ${wanted[*]} " == *" $name "* ]]; then
        measured "$name" "$title" "$command" "${text%$'\n'}" "${begin%$'\n'}" >"$folder/$name"
    else
        kept "$name" >"$folder/$name"
    fi
done

{
    printf '# Benchmarks\n\n%s\n%s\n' \
        'Made by `benches/page.sh`, section by section; it is not written by hand. The machine is small and shared:' \
        'read ratios, which are of one run with the sides in turns, and their spread.'
    for name in "${names[@]}"; do
        [ -s "$folder/$name" ] || continue
        printf '\n<!-- %s -->\n' "$name"
        cat "$folder/$name"
        printf '<!-- end of %s -->\n' "$name"
    done
} >"$folder/page"
mv "$folder/page" "$page"
