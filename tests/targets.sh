#!/usr/bin/env bash
# The tests where the program does not usually run. Not a part of `tests/run.sh`: it compiles everything anew for
# each.
#
#   tests/targets.sh [musl] [aarch64] [abort]        all when left out
#
# musl       x86-64, linked statically: the monitor, restarts, faults, the admin surface, caches and jobs.
#            Needs musl's compiler (Debian: musl-tools).
# aarch64    the library, the allocator and its exactness, under emulation: its instructions, and not its weak order
#            of memory, which loom has. Needs gcc-aarch64-linux-gnu and qemu-user-static.
# abort      with `panic = "abort"`, here. Not those of restarts, where the harness would start processes without
#            end.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }

need() { # program, Debian's package
    command -v "$1" >/dev/null && return
    echo "targets.sh: $1 is missing: install it (Debian: apt-get install $2)" >&2
    exit 1
}

run() { # target, cargo's arguments
    local target=$1
    shift
    # Who has no rustup has the target's standard library, or hears what is missing.
    ! command -v rustup >/dev/null || rustup target add "$target" >/dev/null
    cargo test --no-fail-fast --locked --target-dir target/others --target "$target" "$@"
}

musl() {
    step 'musl'
    need musl-gcc musl-tools
    run x86_64-unknown-linux-musl --features 'http cache rayon prometheus' --lib --test allocator --test batch \
        --test cache --test decay --test diagnosis --test ending --test environment --test exactness --test exec \
        --test faults --test http --test lineless --test monitor --test privileged --test restart --test state \
        --test stuck --test uncounted --test wake
}

aarch64() {
    step 'AArch64, emulated'
    need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    need qemu-aarch64-static qemu-user-static
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64-static -L /usr/aarch64-linux-gnu' \
        run aarch64-unknown-linux-gnu --no-default-features --lib --test allocator --test behaviours \
        --test exactness --test fork
}

abort() {
    step 'panic = "abort"'
    # An unstable option of the harness, which the stable compiler takes only when told so.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Cpanic=abort -Zpanic-abort-tests' \
        cargo test --locked --target-dir target/abort --features 'http cache rayon' --lib --test allocator \
        --test cache --test exactness --test monitor --test uncounted
}

for name in "${@:-all}"; do
    case $name in
    all)
        abort
        musl
        aarch64
        ;;
    musl | aarch64 | abort) "$name" ;;
    *)
        echo "targets.sh: \`$name\`: expected musl, aarch64 or abort" >&2
        exit 2
        ;;
    esac
done
