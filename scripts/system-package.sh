# Installs Debian's packages, as root or by sudo. For the scripts to source.

system_package() {
    if ! command -v apt-get >/dev/null; then
        echo "install $*, please: there is no apt-get here" >&2
        exit 1
    fi
    echo "Installing $* ..." >&2
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
