# SPDX-License-Identifier: GPL-2.0
"""Device tree from which Xen learns of its own arguments, and of dom0's kernel and initramfs.

The emulator makes the tree of its board; a node for each file that it loads is added here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Module:
    """A file in the machine's memory, for dom0."""
    # As Xen calls it: kernel or ramdisk.
    kind: str
    address: int
    size: int
    arguments: str = ""


def additions(xen_arguments: str, modules: list[Module]) -> str:
    """Source text that adds Xen's arguments and MODULES to the source of a tree."""
    nodes = "\n".join(map(_node, modules))
    return f"""\
/ {{
\tchosen {{
\t\txen,xen-bootargs = {_string(xen_arguments)};
{nodes}
\t}};
}};
"""


def _node(module: Module) -> str:
    # Addresses and sizes have two cells each, the more significant one first.
    cells = " ".join(f"{part:#x}" for number in (module.address, module.size)
                     for part in (number >> 32, number & 0xffffffff))
    arguments = f"\n\t\t\tbootargs = {_string(module.arguments)};" if module.arguments else ""
    return f"""\
\t\tmodule@{module.address:x} {{
\t\t\tcompatible = "multiboot,{module.kind}", "multiboot,module";
\t\t\treg = <{cells}>;{arguments}
\t\t}};"""


def _string(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
