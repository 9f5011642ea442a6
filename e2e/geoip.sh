#!/bin/sh
# Prints the path of a country file in MaxMind DB format, fetching it into the
# cache first when it is not there: npm's @ip-location-db/geo-whois-asn-country-mmdb,
# which is in the public domain (CC0).
#
#   WATCHKEEPER_CACHE   where to keep it (default: ~/.cache/watchkeeper)
set -eu

cache=${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}/geoip
file=$cache/country.mmdb

if [ ! -s "$file" ]; then
    mkdir -p "$cache"
    # Unpacked aside and renamed into place, so that two callers at once, or
    # one that is interrupted, never leave half a file.
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && npm pack --silent '@ip-location-db/geo-whois-asn-country-mmdb@2' >&2)
    tar -xzf "$work"/*.tgz -C "$work"
    found=$(find "$work/package" -name 'geo-whois-asn-country.mmdb' | head -n 1)
    if [ -z "$found" ]; then
        echo "geoip.sh: the package holds no geo-whois-asn-country.mmdb" >&2
        exit 1
    fi
    mv -f "$found" "$file"
fi

echo "$file"
