# SPDX-License-Identifier: GPL-2.0
# Functions of the init scripts of all guests, which source this file first.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root TERM="${TERM:-linux}"

# The folder of this file, and of those that the harness makes for a boot.
: "${BOOT_FOLDER:=/etc/boot}"
. "$BOOT_FOLDER/settings"
export DOM0_TYPE DOMU_TYPE DOMU_MEMORY GNTDEV EVENTS EVENTS_ARGUMENTS

# One line to the program that started the machine. It travels in the kernel's log and carries a
# word that no other program's output can contain by chance.
tell() {
	echo "<1>$WORD $*;" >/dev/kmsg
}

# The last word, until the machine is switched off. The hypervisor may tear any one line apart
# with a message of its own.
tell_the_end() {
	while :; do
		tell "$@"
		sleep 2
	done
}

# The machine is of no more use: say why.
give_up() {
	tell_the_end "failed $*"
}

# First call of a guest's init: all other functions need /dev, also tell.
begin() {
	mount -t devtmpfs dev /dev
	tell "step init"
	mount_all || give_up "cannot mount the file systems"
}

mount_all() {
	mkdir -p /dev/pts /proc /sys /run /tmp /root &&
		mount -t devpts devpts /dev/pts &&
		mount -t proc proc /proc &&
		mount -t sysfs sysfs /sys &&
		mount -t tmpfs run /run &&
		{ [ ! -d /sys/kernel/debug ] || mount -t debugfs debugfs /sys/kernel/debug; } &&
		{ [ ! -d /sys/kernel/tracing ] || mount -t tracefs tracefs /sys/kernel/tracing; }
}

# step NAME COMMAND...: one part of the start. It must neither fail nor hang; ten minutes are a few
# seconds on a host that has much else to do.
step() {
	step_name=$1
	shift
	tell "step $step_name"
	timeout 600 "$@" >/tmp/step.log 2>&1 </dev/null && return
	step_status=$?
	while read -r line; do tell "says $line"; done </tmp/step.log
	give_up "$step_name: '$*' ended with status $step_status"
}

# Modules that the tools need and that some kernels have built in; for those the list is empty.
load_platform_modules() {
	load_modules "load the platform's modules" $PLATFORM_MODULES
}

load_grant_modules() {
	step "load $GNTDEV_MODULE" insmod "/lib/modules/$GNTDEV_MODULE.ko"
	step "load xen-gntalloc" insmod /lib/modules/xen-gntalloc.ko
}

# A display takes a number of modules, each after those that it needs. A boot without one names
# none.
load_display_modules() {
	load_modules "load the display's modules" $DISPLAY_MODULES
}

# load_modules STEP NAME...: in this order.
load_modules() {
	modules_step=$1
	shift
	[ $# = 0 ] || step "$modules_step" sh -c '
		for module; do insmod "/lib/modules/$module.ko" || exit; done' - "$@"
}

# The serial port $RUN_PORT is the command's alone. It is raw: the command's output arrives byte for
# byte.

run_command() {
	stty -F $RUN_PORT 115200 raw -echo || give_up "no serial port $RUN_PORT"
	exec 4<>$RUN_PORT
	cd /root
	if [ "$SHELL_WANTED" = yes ]; then
		stty -F $RUN_PORT sane
		tell "run"
		setsid /bin/sh -c "exec /bin/sh -l <$RUN_PORT >$RUN_PORT 2>&1 4>&-"
	else
		tell "run"
		setsid /bin/sh -c "$(cat "$BOOT_FOLDER/run")" </dev/null >$RUN_PORT 2>&1 4>&-
	fi
	run_status=$?
	# Setting the port waits until all of the output has left the machine.
	stty -F $RUN_PORT 115200 raw -echo
	# A command may have lowered it, and the last lines are needed.
	dmesg -n 7
	report_leaks
	tell_the_end "exit $run_status"
}

# A kernel with kmemleak lists objects that nobody refers to. It counts an object only when it is
# five seconds old and two scans in a row have missed it.
report_leaks() {
	[ -e /sys/kernel/debug/kmemleak ] || return
	echo scan >/sys/kernel/debug/kmemleak 2>/dev/null || return
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	while read -r line; do echo "<4>kmemleak: $line" >/dev/kmsg; done \
		</sys/kernel/debug/kmemleak
}
