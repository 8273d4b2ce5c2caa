# Makes sure that there is what a build needs. For ./test, ./demo and .ci/run to source.

. ./scripts/system-package.sh
if ! command -v cargo >/dev/null; then
    echo "Tally is built with Rust, and cargo is not here: install Rust first" >&2
    exit 1
fi
# Rust links with a C compiler, and zstd is compiled with one.
if ! command -v cc >/dev/null; then
    system_package gcc libc6-dev
fi
