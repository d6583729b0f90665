#!/usr/bin/env python3
"""Writes syscalls.tbl from the kernel's own user headers.

The headers of every architecture are in Debian's linux-libc-dev (arch: all since Linux 6.15). With a newer package:

    apt-get download linux-libc-dev && dpkg-deb -x linux-libc-dev_*.deb headers
    ./generate_syscalls.py headers > syscalls.tbl
"""
import re
import sys

COLUMNS = [
    ("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"),
    ("x86", "x86_64-linux-gnu/asm/unistd_32.h"),
    ("x32", "x86_64-linux-gnu/asm/unistd_x32.h"),
    ("aarch64", "aarch64-linux-gnu/asm/unistd_64.h"),
    ("arm", "arm-linux-gnueabihf/asm/unistd-eabi.h"),
]
# x32 numbers carry this bit; the table keeps it. EABI numbers have no base.
BASES = {"__X32_SYSCALL_BIT": 0x40000000, "__NR_SYSCALL_BASE": 0}
ARM_PRIVATE_BASE = 0x0F0000
DEFINITION = re.compile(r"^#define __NR_(\w+)\s+\(?(?:(\w+)\s*\+\s*)?(\d+)\)?\s*$")
ARM_PRIVATE = re.compile(r"^#define __ARM_NR_(\w+)\s+\(__ARM_NR_BASE\+(\d+)\)")


def numbers(path):
    with open(path) as header:
        for line in header:
            if match := DEFINITION.match(line):
                name, base, number = match.groups()
                yield name, BASES[base] + int(number) if base else int(number)


def main(root):
    include = f"{root}/usr/include"
    table = {}
    for column, path in COLUMNS:
        for name, number in numbers(f"{include}/{path}"):
            table.setdefault(name, {})[column] = number
    with open(f"{include}/arm-linux-gnueabihf/asm/unistd.h") as header:
        for line in header:
            if match := ARM_PRIVATE.match(line):
                table.setdefault(match[1], {})["arm"] = ARM_PRIVATE_BASE + int(match[2])
    # One call, two names: the header has the second as an alias.
    table.setdefault("sync_file_range2", {})["arm"] = table["arm_sync_file_range"]["arm"]
    for name in sorted(table):
        row = table[name]
        print(name, *(row.get(column, "-") for column, _ in COLUMNS))


main(sys.argv[1])
