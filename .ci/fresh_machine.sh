#!/bin/sh
# Runs in the chroot: the two commands on a machine that has only git, and what they say to a user without root.
set -u
cd /srv/tiercache || exit 1
rc=0
fail() { echo "FAILED: $*"; rc=1; }

# ---- a user without root and sudo is told the exact line, and nothing is installed ----

before=$(dpkg-query -f '.\n' -W | wc -l)
for goal in demo test; do
    said=$(setpriv --reuid=65534 --regid=65534 --clear-groups env TC_NO_INSTALL=1 ./run $goal 2>&1)
    status=$?
    [ $status -eq 2 ] || fail "./run $goal without root: exit status $status"
    line=$(echo "$said" | tail -n 1)
    case $line in
    *'apt-get install -y --no-install-recommends '*) ;;
    *) fail "./run $goal without root said: $said" ;;
    esac
done
[ "$(dpkg-query -f '.\n' -W | wc -l)" -eq "$before" ] || fail 'TC_NO_INSTALL=1 installed something'

# ---- root types the two commands ----

.ci/demo.sh --seconds "${TC_DEMO_SECONDS:-35}" || fail "./run demo: exit status $?"
[ ! -e /etc/init.d/redis-server ] || fail 'a package with a Redis daemon was installed'
./run test > /tmp/test.out 2>&1
status=$?
cat /tmp/test.out
[ $status -eq 0 ] || fail "./run test: exit status $status"

# ---- the line was right: everything that it installs is there now ----

sh -c "$line" > /tmp/line.out 2>&1 || { cat /tmp/line.out; fail "the line does not work: $line"; }
grep -q '^0 upgraded, 0 newly installed' /tmp/line.out || fail "the line installs more than ./run test did: $line"

# The last line again, so that whoever runs this can count.
[ $rc -ne 0 ] || tail -n 1 /tmp/test.out
exit $rc
