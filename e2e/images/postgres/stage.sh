#!/usr/bin/env bash
# Lays out the root file system of the Postgres image, from this machine's Debian packages.
#
#   stage.sh BIN CONTEXT      BIN is where `postgres` and `initdb` are
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/../../../images/lib.sh"

[ $# = 2 ] || fail "usage: stage.sh BIN CONTEXT"
bin="$1"
context="$2"
root="$context/rootfs"
mkdir -p "$root" "$context/data"
skeleton "$root"

# Shells, `sh` being Debian's, as in the official image, and what scripts in pods expect beside them.
shell="$(readlink -f /bin/sh)"
put_programs "$root" /bin/bash "$shell" /usr/bin/locale
ln -sf "$(basename "$shell")" "$root/usr/bin/sh"
# shellcheck disable=SC2046  # Programs have no spaces in their paths.
put_programs "$root" $(dpkg -L coreutils findutils sed grep gzip tar | grep -E '^(/usr)?/s?bin/.') \
    "$(readlink -f /usr/bin/awk)"
ln -sf "$(basename "$(readlink -f /usr/bin/awk)")" "$root/usr/bin/awk"

# The server with its extensions, but for its compiler, which alone needs 100 MB of LLVM.
libraries="$("$bin/pg_config" --pkglibdir)"
share="$("$bin/pg_config" --sharedir)"
# shellcheck disable=SC2046
put_programs "$root" "$bin"/* $(find "$libraries" -maxdepth 1 -name '*.so' ! -name 'llvmjit*')
# shellcheck disable=SC2046
put "$root" $(find -L "$share" -type f ! -path '*/man/*')
# shellcheck disable=SC2046
put "$root" $(find /usr/lib/locale/C.utf8 -type f)
put_zones "$root"

# A pod's clients come over the network.
sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/" "$root$share/postgresql.conf.sample"
grep -q "^listen_addresses = '\*'" "$root$share/postgresql.conf.sample"

cat >"$root/etc/passwd" <<'EOF'
root:x:0:0:root:/root:/bin/bash
postgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/bash
EOF
cat >"$root/etc/group" <<'EOF'
root:x:0:
postgres:x:999:
EOF
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

mkdir -p "$root/docker-entrypoint-initdb.d" "$root/run" "$root/var/lib/postgresql"
ln -s ../run "$root/var/run"
install -D -m 755 "$here/docker-entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"
chmod -R u=rwX,go=rX "$root"
chmod 1777 "$root/tmp"
