#!/usr/bin/env bash
# .ci/chroot.sh SUITE SCRIPT [ARG...]: runs SCRIPT, a file of this repository, as root in a minimal Debian SUITE that has
# nothing but git, with a clone of what is committed here in /srv/tiercache.
#
# The mirror and the proxies are those of this machine's own apt. Mounts live in a mount and process namespace of their
# own, so nothing stays mounted and nothing goes on running, however this ends. The bare system is kept for the week in
# ${XDG_CACHE_HOME:-~/.cache}/tiercache-ci; without that cache it only takes half a minute longer.
# Exit status 77, and a line that says why: this machine cannot do it.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=$1
shift
unable() { echo "skipped: $*"; exit 77; }

if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" -eq 0 ] || unable 'a chroot needs root'
    command -v debootstrap > /dev/null || unable 'debootstrap is not installed'
    unshare --mount --pid --fork true 2> /dev/null || unable 'no new mount and process namespaces here'
    root=$(mktemp -d "${TMPDIR:-/tmp}/tiercache-ci.XXXXXX")
    trap 'rm -rf --one-file-system "$root"' EXIT
    trap 'exit 143' INT TERM HUP
    # In the background, because a trap waits for what runs in the foreground.
    unshare --mount --pid --fork --kill-child --propagation private "$0" "$suite" --inside "$root" "$@" < /dev/null &
    wait $!
    exit
fi
root=$2
shift 2

# ---- the bare system ------------------------------------------------------------------------------------------------

# shellcheck disable=SC1091
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
site_of() { # site_of RELEASE: where this machine gets it from
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(RELEASE) $(SITE)' 2> /dev/null | awk -v r="$1" '$1 == r { print $2; exit }'
}
mirror=$(site_of "$codename")
[ -n "$mirror" ] || unable "apt on this machine names no mirror of $codename"
security=$(site_of "$codename-security")

week=$(date +%G-W%V)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tiercache-ci
packed=$cache/$suite-$week.tar.gz
if [ -s "$packed" ] && tar -C "$root" -xzf "$packed"; then
    echo "$suite of $week, from the cache"
else
    find "$root" -mindepth 1 -delete
    debootstrap --variant=minbase --include=git,ca-certificates "$suite" "$root" "$mirror" > "$root.log" 2>&1 \
        || { tail -n 30 "$root.log"; rm -f "$root.log"; exit 1; }
    rm -f "$root.log" "$root"/var/cache/apt/archives/*.deb
    if mkdir -p "$cache" 2> /dev/null; then
        rm -f "$cache/$suite"-*
        { tar -C "$root" --one-file-system -cf - . | gzip -1 > "$packed.$$" && mv "$packed.$$" "$packed"; } \
            || rm -f "$packed.$$"
    fi
fi

# ---- what a machine on this network knows ---------------------------------------------------------------------------

chmod 755 "$root"
{
    echo "deb $mirror $suite main"
    echo "deb $mirror $suite-updates main"
    [ -z "$security" ] || echo "deb $security $suite-security main"
} > "$root/etc/apt/sources.list"
apt-config dump 2> /dev/null | grep -iE '^Acquire::https?::Proxy ' > "$root/etc/apt/apt.conf.d/90proxy" || true
# No package may start a service.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

[ -z "$(git status --porcelain 2> /dev/null)" ] || echo 'note: only what is committed goes into the chroot'
git clone -q --no-hardlinks "$PWD" "$root/srv/tiercache"
script=/srv/tiercache/$1
shift

proxies=()
for v in http_proxy https_proxy no_proxy; do
    [ -z "${!v:-}" ] || proxies+=("$v=${!v}")
done
chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    TERM=dumb CI=true "${proxies[@]}" sh "$script" "$@"
