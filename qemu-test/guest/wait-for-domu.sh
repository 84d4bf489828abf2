# SPDX-License-Identifier: GPL-2.0
# The wait of dom0's first process for the domU.

# Sleeps until xenstore tells of the domU or of the death of a domain; each watch has one event at
# once. Ten minutes without any are the end: how long the domU takes depends on the host.
wait_for_domu() {
	ready=/local/domain/$DOMU/data/ready
	events=$(mktemp -u)
	mkfifo "$events"
	# Opened for both directions, it is there at once. One direction alone would wait for the
	# other, and the first process is a parent of orphans, any of whose deaths ends that wait.
	exec 3<>"$events"
	rm "$events"
	xenstore-watch "$ready" @releaseDomain >&3 2>&1 &
	while read -r -t 600 event; do
		xenstore-exists "$ready" 2>/dev/null && break
		[ "$event" = @releaseDomain ] || continue
		xl list domU >/tmp/domU 2>&1 || give_up "the domU ended before it was up"
		grep -q '^domU .* [-rbps]*c[-d]' /tmp/domU && give_up "the domU crashed before it was up"
	done <&3
	exec 3>&-
	kill $!
	xenstore-exists "$ready" || give_up "nothing came from the domU for ten minutes"
}
