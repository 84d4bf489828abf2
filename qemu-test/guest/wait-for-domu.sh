# SPDX-License-Identifier: GPL-2.0
# The wait of dom0's first process for the domU.

# Sleeps until xenstore reports the domU or the death of a domain. Each watch has one event at once.
# The wait ends after ten minutes without an event: it depends on the host how long a domU takes.
wait_for_domu() {
	ready=/local/domain/$DOMU/data/ready
	events=$(mktemp -u)
	mkfifo "$events"
	# An open for reading alone would wait for the writer. The first process is the parent of
	# orphans, and the death of any of them would interrupt that wait (EINTR).
	exec 3<>"$events"
	rm "$events"
	xenstore-watch "$ready" @releaseDomain >&3 2>&1 &
	while read -r -t 600 event; do
		xenstore-exists "$ready" 2>/dev/null && break
		[ "$event" = @releaseDomain ] || continue
		xl list domU >/tmp/domU 2>&1 || give_up "the domU ended before it was up"
		grep -q '^domU .* [-rbps]*c[-d]' /tmp/domU &&
			give_up "the domU crashed before it was up"
	done <&3
	exec 3>&-
	kill $!
	xenstore-exists "$ready" || give_up "nothing came from the domU for ten minutes"
}
