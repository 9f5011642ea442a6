# shellcheck shell=bash
# For sourcing: what the scripts that make images have in common.

# Reproducible: names sort the same way and files get the same modes on every machine.
export LC_ALL=C
umask 022

say() { echo "${0##*/}: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# The version of the sources.
version() {
    sed -n '/^\[workspace.package\]/,/^\[[^w]/s/^version = "\(.*\)"$/\1/p' \
        "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml" | head -n 1
}

# skeleton ROOT: the directories and links that every root file system has.
skeleton() {
    local root="$1" name
    mkdir -p "$root"/{etc,tmp,usr}
    for name in bin sbin lib lib32 lib64 libx32; do
        # As on this machine, because programs name their loader by its path.
        if [ -L "/$name" ]; then
            mkdir -p "$root/usr/$name"
            ln -s "usr/$name" "$root/$name"
        fi
    done
}

# put ROOT FILE...: copies each file, followed through links, to its own path below ROOT.
put() {
    local root="$1" file
    shift
    for file in "$@"; do
        [ -e "$root$file" ] && continue
        [ -d "$root${file%/*}" ] || mkdir -p "$root${file%/*}"
        cp -L "$file" "$root$file"
    done
}

# needs FILE...: the loader and the shared libraries of the programs and libraries that are given.
needs() {
    local listed
    # A static program is not an error, a library that is not found is.
    listed="$(for file in "$@"; do ldd "$file" 2>/dev/null || true; done)"
    if grep -q 'not found' <<<"$listed"; then
        grep 'not found' <<<"$listed" >&2
        return 1
    fi
    # "name => /path (address)", or "/path (address)" for the loader.
    sed -nE 's/^(.* => |[[:space:]]*)(\/[^ ]+) \(0x[0-9a-f]+\)$/\2/p' <<<"$listed" | sort -u
}

# put_programs ROOT PROGRAM...: the programs with what they need, at the paths that they have here.
put_programs() {
    local root="$1" libraries
    shift
    put "$root" "$@"
    libraries="$(needs "$@")"
    # shellcheck disable=SC2086  # Libraries have no spaces in their paths.
    put "$root" $libraries
}

# put_authorities ROOT: Mozilla's, from the package. The bundle in /etc/ssl also has whatever this
# machine's owner trusts, which is nobody else's business.
put_authorities() {
    local root="$1" authority authorities=(/usr/share/ca-certificates/mozilla/*.crt)
    [ -e "${authorities[0]}" ] || fail "install the package ca-certificates"
    mkdir -p "$root/etc/ssl/certs"
    for authority in "${authorities[@]}"; do
        cat "$authority"
        echo
    done >"$root/etc/ssl/certs/ca-certificates.crt"
}

# put_zones ROOT: the time zones.
put_zones() {
    local root="$1"
    [ -e /usr/share/zoneinfo/Europe/Berlin ] || fail "install the package tzdata"
    mkdir -p "$root/usr/share/zoneinfo"
    # `posix` and `right` have every zone again; the other two are this machine's.
    tar --directory /usr/share/zoneinfo --exclude=./posix --exclude=./right --exclude=./posixrules \
        --exclude=./localtime --create . | tar --directory "$root/usr/share/zoneinfo" --extract
}

# builder: docker, podman or buildah, whichever answers first.
builder() {
    if docker info >/dev/null 2>&1; then
        echo docker
    elif podman info >/dev/null 2>&1; then
        echo podman
    elif command -v buildah >/dev/null; then
        echo buildah
    else
        return 1
    fi
}

# build_archive BUILDER DOCKERFILE CONTEXT NAME ARCHIVE [ARGUMENT=VALUE...]: an archive that
# `docker load`, `podman load`, `skopeo copy docker-archive:` and `ctr images import` take.
# Every file in it is of SOURCE_DATE_EPOCH.
build_archive() {
    local builder="$1" dockerfile="$2" context="$3" name="$4" archive="$5" argument store status=0
    local arguments=()
    shift 5
    for argument in "$@"; do
        arguments+=(--build-arg "$argument")
    done
    # Docker takes the times of files from the context.
    find "$context" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    case "$builder" in
    docker)
        docker build --quiet --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" "${arguments[@]}" \
            --file "$dockerfile" --tag "$name" "$context" >&2
        docker save --output "$archive" "$name"
        ;;
    podman)
        podman build --quiet --timestamp "$SOURCE_DATE_EPOCH" "${arguments[@]}" \
            --file "$dockerfile" --tag "$name" "$context" >&2
        podman save --quiet --format docker-archive --output "$archive" "$name" >&2
        ;;
    buildah)
        # A store of its own, so that callers do not wait for each other and nothing stays.
        store="$(mktemp -d)"
        buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs \
            build --quiet --isolation chroot --timestamp "$SOURCE_DATE_EPOCH" "${arguments[@]}" \
            --file "$dockerfile" --tag "docker-archive:$archive:$name" "$context" >/dev/null || status=$?
        rm -rf "$store"
        return "$status"
        ;;
    esac
}
