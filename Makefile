# SPDX-License-Identifier: GPL-2.0
# Front door. Every target is one line that calls a script.

# One of qemu-test/configs, if any is named.
NAMED := $(or $(CONFIG),$(DEBUG))
BUILT := $(or $(NAMED),dom0)
TREE := $(if $(KDIR),--tree $(KDIR))
RUN_SUITES := qemu-test/run-suites $(if $(JOBS),--jobs $(JOBS))

FUZZ := $(addprefix --dom0 ,$(DOM0)) $(addprefix --seed ,$(SEED)) \
	$(addprefix --operations ,$(OPERATIONS)) $(addprefix --threads ,$(THREADS))
SOAK := $(addprefix --hours ,$(HOURS)) $(addprefix --dom0 ,$(DOM0)) $(addprefix --seed ,$(SEED))

# Goals that would build for x86 all the same.
X86_ONLY := $(filter-out help check clean test $(if $(KERNEL),module),$(MAKECMDGOALS)) $(NAMED)
ifneq ($(and $(filter-out x86_64,$(ARCH)),$(strip $(X86_ONLY))),)
$(error ARCH=$(ARCH) is for "make test" and "make module KERNEL=debian")
endif

.PHONY: help run test test-quick test-debian test-deb test-long miri coverage bench fuzz soak check \
	kernel module deb clean

help:
	@sed -n 's/^#: \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

run:
	@qemu-test/run $(if $(NAMED),--config $(NAMED),$(addprefix --kernel ,$(KERNEL)))
test:
	@$(RUN_SUITES) --config $(or $(filter-out x86_64,$(ARCH)),$(BUILT))
test-quick:
	@$(RUN_SUITES) --config quick
test-debian:
	@$(RUN_SUITES) --kernel $(or $(KERNEL),debian)
test-deb:
	@$(RUN_SUITES) --config package
test-long:
	@$(RUN_SUITES) --config long
miri:
	@scripts/miri
coverage:
	@qemu-test/coverage $(addprefix --suite ,$(SUITES)) $(if $(JOBS),--jobs $(JOBS))
bench:
	@qemu-test/bench
fuzz:
	@qemu-test/fuzz --config $(BUILT) $(FUZZ)
soak:
	@qemu-test/soak --config $(BUILT) $(SOAK)
check:
	@scripts/check
kernel:
	@scripts/build-kernel --config $(BUILT) $(TREE)
module:
	@$(if $(KERNEL),scripts/build-module $(addprefix --arch ,$(ARCH)) $(if $(UPDATE),--update) $(KERNEL),scripts/build-kernel --config $(BUILT) $(TREE) --only-module)
deb:
	@scripts/build-deb
clean:
	@scripts/clean

#: make run      boot Xen and Debian's own kernel in QEMU and show the main job: dom0 reads what a
#:               domU granted, and has a picture from the domU's memory on its screen. KERNEL names
#:               one of Debian's kernels as for `make module`; CONFIG=dom0 takes a kernel of ours
#: make test     run all tests; the last line counts them
#: make test ARCH=arm64
#:               run the tests of Debian's arm64 kernel, with the module and the programs cross-built
#: make test-quick
#:               run those that take minutes: the unit tests, KUnit, and one boot of gntdev and
#:               dma-buf. Run it on each change, `make test` before a merge
#: make test-debian
#:               run those that need no kernel of our own on Debian's own kernel, the newest one
#:               in the cache or the one that KERNEL names as for `make module`
#: make test-deb
#:               install, upgrade and remove the package of `make deb` in a Debian system, and boot
#:               that system by systemd as dom0
#: make test-long
#:               run the tests of a PVH dom0's event channels in full, during which the emulator
#:               often dies
#: make miri     run the tests of the models in Miri, which finds undefined behaviour
#: make coverage run suites on the normal kernel, and print the lines of drivers/xen that have run;
#:               SUITES="pv full" names the suites (default: eight of them)
#: make bench    measure the Rust driver beside the C one, and print the tables
#: make fuzz     make random system calls on the grant device, whose results a model predicts. SEED
#:               names the calls (default: a random number, which is printed), OPERATIONS is their
#:               number, THREADS makes them at the same time, DOM0 is pv or pvh, CONFIG one of our
#:               kernels
#: make soak     run everything at the same time, with domains that come and go, and compare what is
#:               in use at the end with the start. HOURS is a number, maybe a fraction (default: 2),
#:               SEED names the random choices, DOM0 is pv or pvh, CONFIG one of our kernels
#: make check    run rustfmt, clippy, checkpatch and the Python checks, among them mypy
#: make kernel   build the kernel with the overlay in it
#: make module   build the modules only; the whole kernel if it was never built
#: make module KERNEL=debian
#:               build the module for Debian's own kernel, the newest of trixie-backports, or for
#:               the one that KERNEL names: 7.2, 7.2.9 or a release as `uname -r` prints it. A kernel
#:               of the cache is preferred; with UPDATE=1 the archive is asked for a newer one
#: make deb      make the package that builds the module on a Debian machine (DKMS)
#: make clean    remove what was built, keep what was fetched
#:
#: Missing parts are fetched and built first. From an empty cache that takes five minutes for `make
#: run` and half an hour for the targets that build a kernel.
#:
#: CACHE=DIR      folder for everything (default: xen-rust in $XDG_CACHE_HOME or ~/.cache)
#: MIRROR=URL     the Debian mirror to make the build root from (default: that of this machine)
#: ARCH=arm64     test, module KERNEL=...: the processor (default: x86_64)
#: DEBUG=lockdep  test, fuzz, soak, kernel, module: the kernel that checks locks, memory and the
#:                arithmetic of Rust code
#: DEBUG=fault    test, kernel, module: the kernel that has calls of the driver fail
#: DEBUG=kasan    test, fuzz, soak, kernel, module: the kernel that checks each access to memory
#: CONFIG=NAME    run, fuzz, soak: a kernel of qemu-test/configs, dom0, lockdep, fault or kasan,
#:                built here
#: UPDATE=1       module KERNEL=...: ask the archive even if the cache has such a kernel
#: JOBS=N         test...: keep N threads of the host busy; most boots count as one (default: the
#:                number of processors)
#: KDIR=DIR       kernel, module: put the overlay into this kernel tree and build that
