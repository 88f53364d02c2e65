#!/bin/sh
# DaCHS on PostgreSQL for `make test-dachs`: Debian, as root. Does nothing where they are there already.
set -e
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make test-dachs needs Debian and root: it installs gavodachs2-server and runs PostgreSQL." >&2
    exit 2
fi
start_clusters() {
    pg_lsclusters -h | while read -r version name _ status _; do
        [ "$status" = online ] || pg_ctlcluster "$version" "$name" start
    done
}
export DEBIAN_FRONTEND=noninteractive
if ! command -v pg_lsclusters >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq postgresql
fi
# The package's own set-up needs the database, which nothing starts where there is no init system.
start_clusters
if ! command -v dachs >/dev/null; then
    version=$(pg_lsclusters -h | head -1 | cut -d' ' -f1)
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends gavodachs2-server "postgresql-$version-pgsphere" "postgresql-$version-q3c"
fi
