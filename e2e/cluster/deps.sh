#!/usr/bin/env bash
# Finds, or fetches from Debian's archive, the ready-made programs that the tests run.
#
#   deps.sh [etcd] [prometheus] [postgres] [containerd] [runc] [cni] [network] [buildah] [openssl] [blackbox]
#                                               (the first three when nothing is named)
#
# Prints the directory that holds each one's programs on stdout, a line each, and progress on
# stderr. Most are unpacked into the cache and nothing on the machine changes. Installed for real
# when they are missing are PostgreSQL, without a database cluster of its own, because it refuses to
# run as root and a home directory is closed to other users; and `network`, which is iproute2 and
# nftables, buildah, because of the libraries that they need, and OpenSSL's headers with pkg-config.
set -euo pipefail

cache="${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}"
tools="$cache/tools"
mkdir -p "$tools"

say() { echo "deps.sh: $*" >&2; }

need_apt() {
    command -v apt-get >/dev/null && return
    say "$1 is missing and this is not a Debian machine: install it and put it on PATH"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "this needs root and there is no sudo; run as root: $*"
        return 1
    fi
}

# with_fresh_lists COMMAND...: runs COMMAND, and once more after an update when it fails,
# because a new machine has no package lists and an old one has stale ones.
with_fresh_lists() {
    "$@" >&2 && return
    say "updating the package lists"
    as_root apt-get -qq update >&2 || return
    "$@" >&2
}

# unpacked PACKAGE PROGRAM [DIRECTORY]: the directory of PROGRAM, which PACKAGE has in DIRECTORY
# (usr/bin), from PATH or from PACKAGE in the cache.
unpacked() {
    local package="$1" program="$2" directory="${3:-usr/bin}" lock partial
    local home="$tools/debian-$package"
    if [ ! -x "$home/$directory/$program" ]; then
        if command -v "$program" >/dev/null; then
            dirname "$(command -v "$program")"
            return
        fi
        need_apt "$program"
        exec {lock}>"$home.lock"
        flock "$lock"
        if [ ! -x "$home/$directory/$program" ]; then
            say "fetching $package"
            rm -rf "$home" "$home".partial.*
            partial="$(mktemp -d "$home.partial.XXXXXX")"
            chmod 755 "$partial"
            (
                cd "$partial"
                # Root's apt would rather download as a user who cannot write here.
                with_fresh_lists apt-get -qq -o APT::Sandbox::User=root download "$package"
                dpkg -x "$package"_*.deb .
                rm "$package"_*.deb
            )
            mv "$partial" "$home"
        fi
        exec {lock}>&-
    fi
    echo "$home/$directory"
}

postgres_bin() {
    local bin
    for bin in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn) \
        "$(pg_config --bindir 2>/dev/null || true)" \
        "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")"; do
        if [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ]; then
            echo "$bin"
            return 0
        fi
    done
    return 1
}

install_postgres() {
    say "installing PostgreSQL"
    # Read by the package's scripts: no cluster is made, so no server is started.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        as_root mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold install postgresql
}

postgres() {
    local lock
    postgres_bin && return
    need_apt PostgreSQL
    exec {lock}>"$tools/postgres.lock"
    flock "$lock"
    if ! postgres_bin >/dev/null; then
        with_fresh_lists install_postgres
    fi
    exec {lock}>&-
    postgres_bin
}

network() {
    local lock
    if ! command -v ip >/dev/null || ! PATH="$PATH:/usr/sbin" command -v nft >/dev/null; then
        need_apt "iproute2 or nftables"
        exec {lock}>"$tools/network.lock"
        flock "$lock"
        say "installing iproute2 and nftables"
        with_fresh_lists as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -y --no-install-recommends install iproute2 nftables
        exec {lock}>&-
    fi
    dirname "$(PATH="$PATH:/usr/sbin" command -v nft)"
}

buildah() {
    local lock
    if ! type -P buildah >/dev/null; then
        need_apt buildah
        exec {lock}>"$tools/buildah.lock"
        flock "$lock"
        say "installing buildah"
        with_fresh_lists as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -y --no-install-recommends install buildah
        exec {lock}>&-
    fi
    dirname "$(type -P buildah)"
}

# For published Rust clients that speak TLS by the system's library.
openssl() {
    local lock
    if ! type -P pkg-config >/dev/null || ! pkg-config --exists openssl; then
        need_apt "pkg-config or OpenSSL's headers"
        exec {lock}>"$tools/openssl.lock"
        flock "$lock"
        say "installing OpenSSL's headers"
        with_fresh_lists as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -y --no-install-recommends install libssl-dev pkg-config
        exec {lock}>&-
    fi
    dirname "$(type -P pkg-config)"
}

[ $# -gt 0 ] || set -- etcd prometheus postgres
for what in "$@"; do
    case "$what" in
    etcd) unpacked etcd-server etcd ;;
    prometheus) unpacked prometheus promtool ;;
    postgres) postgres ;;
    containerd) unpacked containerd containerd ;;
    runc) unpacked runc runc usr/sbin ;;
    cni) unpacked containernetworking-plugins ptp usr/lib/cni ;;
    network) network ;;
    buildah) buildah ;;
    openssl) openssl ;;
    blackbox) unpacked prometheus-blackbox-exporter prometheus-blackbox-exporter ;;
    *) say "unknown: $what (etcd, prometheus, postgres, containerd, runc, cni, network, buildah, openssl, blackbox)"; exit 2 ;;
    esac
done
