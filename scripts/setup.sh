# Makes sure that there is what a build needs. For ./test, ./demo and .ci/run to source.

if ! command -v cargo >/dev/null; then
    echo "Tally is built with Rust, and cargo is not here: install Rust first" >&2
    exit 1
fi
# Rust links with a C compiler, and zstd is compiled with one.
if ! command -v cc >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "Tally needs a C compiler: install gcc or clang" >&2
        exit 1
    fi
    echo "Installing a C compiler ..." >&2
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq gcc libc6-dev >/dev/null
fi
