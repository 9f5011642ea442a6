#!/usr/bin/env bash
# Makes the images that tests run in real pods, and prints the path of an archive for each, a line
# each, that `ctr -n k8s.io images import` takes. What is already made costs a fraction of a second.
# Any number may run at the same time.
#
#   build.sh [--tag TAG] [--binaries DIR] NAME...
#
#   watchkeeper   watchkeeper.test/watchkeeper:TAG (dev when left out), by the Dockerfile of releases,
#                 around the binaries in DIR (cargo's dev profile when left out)
#   postgres      watchkeeper.test/postgres:dev, of the version that this machine has
#   sample-app    watchkeeper.test/sample-app:dev, the Gin application of e2e/clients
#   pause         watchkeeper.test/pause:dev, a pod's sandbox
#
# TAG becomes part of the version that the image's labels tell, so that no two tags are one image.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/../../images/lib.sh"
product="$here/../../images"
cache="${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}"
images="$cache/images"
mkdir -p "$images"
# What is in a test image is of no particular day.
export SOURCE_DATE_EPOCH=0

tag=dev
binaries="${CARGO_TARGET_DIR:-$cache/target}/debug"

key() { cat "$@" "${BASH_SOURCE[0]}" "$product/lib.sh" | sha256sum | cut -c1-16; }

# once NAME KEY COMMAND...: runs COMMAND with a fresh directory, which then becomes $images/NAME-KEY.
once() {
    local name="$1" home="$images/$1-$2" lock partial old
    shift 2
    if [ ! -d "$home" ]; then
        exec {lock}>"$images/$name.lock"
        flock --nonblock "$lock" || { say "waiting for another build of $name"; flock "$lock"; }
        # Whoever held the lock before may have built it.
        if [ ! -d "$home" ]; then
            say "making the image $name"
            rm -rf "$images/$name".partial.*
            partial="$(mktemp -d "$images/$name.partial.XXXXXX")"
            chmod 755 "$partial"
            "$@" "$partial"
            rm -rf "$partial/context"
            mv "$partial" "$home"
            # Earlier ones, unless somebody may be reading them.
            for old in $(ls -dt "$images/$name"-* | tail -n +4); do
                find "$old" -maxdepth 0 -mmin +120 -exec rm -rf {} +
            done
        fi
        exec {lock}>&-
    fi
    # Still in use.
    touch "$home"
    echo "$home/image.tar"
}

# The one that answers, or Debian's buildah.
some_builder() {
    builder && return
    "$here/../cluster/deps.sh" buildah >/dev/null
    builder || fail "no docker, podman or buildah answers"
}

make_watchkeeper() {
    some_builder >/dev/null
    "$product/build.sh" --binaries "$binaries" --name "watchkeeper.test/watchkeeper:$tag" \
        --version "$(version)-$tag" --revision "" --output "$1/image.tar" >&2
}

make_postgres() {
    "$here/postgres/stage.sh" "$postgres" "$1/context" >&2
    build_archive "$(some_builder)" "$here/postgres/Dockerfile" "$1/context" \
        watchkeeper.test/postgres:dev "$1/image.tar" "MAJOR=$postgres_major"
}

make_pause() {
    mkdir -p "$1/context/rootfs"
    ${CC:-cc} -static -Os -s -Wall -Werror -o "$1/context/rootfs/pause" "$here/pause/pause.c"
    build_archive "$(some_builder)" "$here/pause/Dockerfile" "$1/context" watchkeeper.test/pause:dev \
        "$1/image.tar"
}

make_sample_app() {
    local root="$1/context/rootfs" programs
    programs="$("$here/../clients/setup.sh" go)"
    mkdir -p "$root"
    install -m 755 "${programs#go=}/gin" "$root/sample-app"
    put_authorities "$root"
    build_archive "$(some_builder)" "$here/sample-app/Dockerfile" "$1/context" \
        watchkeeper.test/sample-app:dev "$1/image.tar"
}

names=()
while [ $# -gt 0 ]; do
    case "$1" in
    --tag) tag="${2:?}"; shift 2 ;;
    --binaries) binaries="${2:?}"; shift 2 ;;
    *) names+=("$1"); shift ;;
    esac
done
[ ${#names[@]} -gt 0 ] || fail "name an image: watchkeeper, postgres, sample-app, pause"

for name in "${names[@]}"; do
    case "$name" in
    watchkeeper)
        [ -x "$binaries/watchkeeper" ] && [ -x "$binaries/watchkeeper-operator" ] ||
            fail "$binaries has no binaries: cargo build --package watchkeeper --package watchkeeper-operator"
        once "watchkeeper-$tag" \
            "$(key "$binaries"/watchkeeper{,-operator} "$product"/*.{sh,py} "$product/watchkeeper/Dockerfile" \
                "$here/../../Cargo.lock")" \
            make_watchkeeper
        ;;
    postgres)
        postgres="$("$here/../cluster/deps.sh" postgres)"
        postgres_version="$("$postgres/postgres" --version)"
        postgres_major="$(sed -E 's/^[^0-9]*([0-9]+).*/\1/' <<<"$postgres_version")"
        once postgres "$(key "$here"/postgres/* <(echo "$postgres_version"))" make_postgres
        ;;
    sample-app)
        once sample-app "$(key "$here/sample-app/Dockerfile" "$here"/../clients/go/{go.sum,gin/main.go,settings/settings.go})" make_sample_app
        ;;
    pause) once pause "$(key "$here"/pause/*)" make_pause ;;
    *) fail "unknown: $name (watchkeeper, postgres, sample-app, pause)" ;;
    esac
done
