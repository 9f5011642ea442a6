#!/usr/bin/env bash
# Lays out the root file system of the product's image, for images/watchkeeper/Dockerfile.
#
#   stage.sh BINARIES CONTEXT      BINARIES holds `watchkeeper` and `watchkeeper-operator`
#
# CONTEXT gets `rootfs` and `data`. What the binaries link is taken from this machine, so a
# release is staged on the Debian that it was built on.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/lib.sh"

[ $# = 2 ] || fail "usage: stage.sh BINARIES CONTEXT"
binaries="$1"
context="$2"
root="$context/rootfs"
mkdir -p "$root" "$context/data"
skeleton "$root"

mkdir -p "$root/usr/local/bin" "$root/var/lib"
for program in watchkeeper watchkeeper-operator; do
    [ -x "$binaries/$program" ] || fail "$binaries/$program is missing: build it first"
    strip -o "$root/usr/local/bin/$program" "$binaries/$program"
    chmod 755 "$root/usr/local/bin/$program"
done
libraries="$(needs "$binaries/watchkeeper" "$binaries/watchkeeper-operator")"
# shellcheck disable=SC2086  # Libraries have no spaces in their paths.
put "$root" $libraries

put_authorities "$root"
put_zones "$root"

mkdir -p "$root/usr/share/watchkeeper"
countries="$("$here/../e2e/geoip.sh")"
install -m 644 "$countries" "$root/usr/share/watchkeeper/country.mmdb"

cat >"$root/etc/passwd" <<'EOF'
root:x:0:0:root:/:/nonexistent
watchkeeper:x:65532:65532:watchkeeper:/var/lib/watchkeeper:/nonexistent
EOF
cat >"$root/etc/group" <<'EOF'
root:x:0:
watchkeeper:x:65532:
EOF
# Without it, the C library asks DNS before /etc/hosts.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

install -D -m 644 "$here/../LICENSE" "$root/usr/share/doc/watchkeeper/LICENSE"
# Others may extract it, with whatever mask they have.
chmod -R u=rwX,go=rX "$root"
chmod 1777 "$root/tmp"
