#!/usr/bin/env bash
# Makes the product's image as an archive, with its list of parts beside it, by whichever of docker,
# podman and buildah answers.
#
#   build.sh [--binaries DIR] [--name NAME:TAG] [--version VERSION] [--revision REVISION] [--output FILE]
#
#   --binaries   where `watchkeeper` and `watchkeeper-operator` are; built for release when left out
#   --name       what the image is called (default: watchkeeper:VERSION)
#   --version, --revision   for the labels (default: the sources' version and commit)
#   --output     the archive (default: images/watchkeeper-VERSION.tar in the cache)
#
#   SOURCE              the address of the sources, for the labels
#   SOURCE_DATE_EPOCH   the time of everything in the image (default: the commit's)
#
# Prints the archive's path on stdout, progress on stderr.
set -euo pipefail

# Of a release, uncompressed, in bytes: every new node pulls it.
LIMIT=80000000

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/lib.sh"
cache="${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}"
target="${CARGO_TARGET_DIR:-$cache/target}"

binaries="" name="" output=""
version="$(version)"
revision="$(git -C "$here" describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || true)"
: "${SOURCE_DATE_EPOCH:=$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
while [ $# -gt 0 ]; do
    case "$1" in
    --binaries) binaries="${2:?}" ;;
    --name) name="${2:?}" ;;
    --version) version="${2:?}" ;;
    --revision) revision="${2-}" ;;
    --output) output="${2:?}" ;;
    *) fail "unknown: $1" ;;
    esac
    shift 2
done
: "${name:=watchkeeper:$version}" "${output:=$cache/images/watchkeeper-$version.tar}"

builder="$(builder)" || fail "no docker, podman or buildah answers: install one (apt-get install buildah)"
release=""
if [ -z "$binaries" ]; then
    release=yes
    say "building for release (ten minutes and more the first time)"
    # C libraries, and all that stands on them, would be built again at every commit if they saw its time.
    (cd "$here/.." && CARGO_TARGET_DIR="$target" env --unset=SOURCE_DATE_EPOCH cargo build --release --locked \
        --package watchkeeper --package watchkeeper-operator) >&2
    binaries="$target/release"
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$here/stage.sh" "$binaries" "$work/context"
"$here/sbom.py" "$work/context/rootfs" "$version" >"$work/sbom.json"
install -D -m 644 "$work/sbom.json" "$work/context/rootfs/usr/share/sbom/watchkeeper.cdx.json"

say "making $name with $builder"
build_archive "$builder" "$here/watchkeeper/Dockerfile" "$work/context" "$name" "$work/image.tar" \
    "VERSION=$version" "REVISION=$revision" "SOURCE=${SOURCE:-}" \
    "CREATED=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%FT%TZ)"

size="$(stat --format=%s "$work/image.tar")"
say "$name has $((size / 1000000)) MB"
[ -z "$release" ] || [ "$size" -le "$LIMIT" ] || fail "an image must not have more than $((LIMIT / 1000000)) MB"

mkdir -p "$(dirname "$output")"
mv "$work/sbom.json" "${output%.tar}.cdx.json"
mv "$work/image.tar" "$output"
echo "$output"
[ -n "$release" ] || exit 0

pushed="$name"
[[ "$name" = */* ]] || pushed="<registry>/$name"
case "$builder" in
buildah) push="buildah push \$(buildah pull --quiet docker-archive:$output) docker://$pushed" ;;
*) push="$builder tag $name $pushed && $builder push $pushed" ;;
esac
cat >&2 <<EOF

  archive     $output
  made of     ${output%.tar}.cdx.json
  push it     $push
  or load it  kind load image-archive $output
              ctr --namespace k8s.io images import $output

EOF
