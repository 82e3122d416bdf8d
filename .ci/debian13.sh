#!/bin/sh
# Runs in a Debian 13 chroot: hiredis 1.2, gcc 14 and Redis 8, then Valkey 8 as the server.
set -u
cd /srv/tiercache || exit 1
rc=0
fail() { echo "FAILED: $*"; rc=1; }

./run test WERROR=1 > /tmp/test.out 2>&1
status=$?
cat /tmp/test.out
[ $status -eq 0 ] || fail "./run test: exit status $status"
grep -q 'define HIREDIS_MAJOR 1' /usr/include/hiredis/hiredis.h || fail 'this is not hiredis 1.x'

# The server program again is the one that a package without a daemon brings, under its server name.
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valkey-tools > /tmp/apt.out 2>&1 \
    || { cat /tmp/apt.out; fail 'valkey-tools cannot be installed'; }
ln -sf "$(command -v valkey-check-rdb)" /usr/local/bin/valkey-server
valkey-server --version
TC_REDIS_SERVER=/usr/local/bin/valkey-server TEST_ONLY='integration/* suite/run_redis' make -j2 test WERROR=1 > /tmp/valkey.out 2>&1
status=$?
grep -v '^  [A-Z]' /tmp/valkey.out
[ $status -eq 0 ] || fail "the tests with a real server, on Valkey: exit status $status"

[ $rc -ne 0 ] || tail -n 1 /tmp/test.out
exit $rc
