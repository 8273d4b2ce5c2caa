# Runs what takes a while and says how many seconds it took: `stage NAME COMMAND…`. For .ci/run and ./test to source.

stage() {
    local name="$1" began=$SECONDS
    shift
    echo "== $name"
    "$@"
    echo "== $((SECONDS - began)) s for $name"
}
