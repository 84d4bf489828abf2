# SPDX-License-Identifier: GPL-2.0
"""A kernel that the driver fits, as the texts of its files and of the tools that built it."""

from xenrust import kernel_fit

RUSTC = "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)"
CC = "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"
CONFIG = "".join(f"{name}={value}\n" for name, value in kernel_fit.NEEDED_OPTIONS.items()) + f"""\
CONFIG_XEN_GNTDEV=m
CONFIG_CC_VERSION_TEXT="{CC}"
CONFIG_RUSTC_VERSION_TEXT="{RUSTC}"
CONFIG_BINDGEN_VERSION_TEXT="bindgen 0.71.1"
# CONFIG_MODVERSIONS is not set
"""
TOOLS = {"rustc": RUSTC + "\n", "bindgen": "bindgen 0.71.1\n", "cc": CC + "\nCopyright (C)\n"}
SYMVERS = ("0x00000000\tgnttab_map_refs\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
           "0x00000000\tdma_buf_export\tvmlinux\tEXPORT_SYMBOL_GPL\tDMA_BUF\n")
VERMAGIC = "7.2.12+deb13-amd64 SMP preempt mod_unload modversions "


def module(vermagic=VERMAGIC):
    return b"\x7fELF\0license=GPL\0vermagic=" + vermagic.encode() + b"\0name=x\0"
