# SPDX-License-Identifier: GPL-2.0
"""The functions of an object of Rust code that anything can call.

rustc compiles a function that other crates may call to code of its own, even if each call was
replaced by the function's body and no other crate has one. Its first and last lines then belong to
code that cannot run.
"""

import collections

from xenrust.object_file import Function, ObjectFile

# Sections whose addresses of functions can be called. The others have tables about functions.
USES = (".text", ".init", ".exit", ".rodata", ".data")
# Names that rustc makes. The drivers' C code and the kernel call functions by other names.
MANGLED = "_R"


def called(file: ObjectFile) -> list[Function]:
    """The functions of the object FILE, but for those that nothing names."""
    by_section = collections.defaultdict(list)
    for one in file.functions:
        by_section[one.section].append(one)
    names: dict[Function | None, set[str]] = collections.defaultdict(set)
    for number, section in enumerate(file.sections):
        if section.name.startswith(USES):
            for offset, name in file.references(number):
                user = next((one for one in by_section[number]
                             if one.start <= offset < one.start + one.size), None)
                names[user].add(name)
    # The compiler has removed local functions without a use.
    reached = {one for one in file.functions
               if one.is_local or not one.name.startswith(MANGLED)}
    todo = [None, *reached]
    while todo:
        used = names[todo.pop()]
        new = {one for one in file.functions if one.name in used} - reached
        reached |= new
        todo += new
    return [one for one in file.functions if one in reached]
