"""Archives that a Linux kernel unpacks into its first file system, written without cpio, kmod or root; and the ACPI table that makes
QEMU's amd-iommu look like a laptop's.

Sources: Linux Documentation/driver-api/early-userspace/buffer-format.rst (the "newc" format) and Documentation/admin-guide/acpi/
initrd_table_override.rst; AMD I/O Virtualization Technology Specification 48882 (IVRS, IVHD type 11h, extended feature register)."""
import os
import pathlib
import re
import stat
import struct
import subprocess

# The guest's device numbers on the PCI bus hang on the order of QEMU's -device options: the IOMMU is named first.
IOMMU_BDF, IOMMU_BASE = 0x08, 0xFED80000  # 00:01.0, its registers
# What QEMU 11 says of its amd-iommu, and what its SVA needs besides: PASIDs of 8 bits, GIOSup, EPHSup.
EFR = 0x29D3 | 7 << 32 | 1 << 48 | 1 << 50


class Archive:
    """A "newc" cpio archive in memory. Folders above a file are made with it; a name is taken once, the first time."""

    def __init__(self):
        self.parts: list[bytes] = []
        self.names: set[str] = set()

    def _entry(self, name: str, mode: int, data: bytes) -> None:
        head = "070701" + "".join(f"{v:08X}" for v in (len(self.names), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        for block in (head.encode() + name.encode() + b"\0", data):
            self.parts.append(block + b"\0" * (-len(block) % 4))

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        """mode: with the kind of file, as of stat. name: without a slash in front."""
        if name in self.names:
            return
        parent = os.path.dirname(name)
        if parent:
            self.folder(parent)
        self.names.add(name)
        self._entry(name, mode, data)

    def folder(self, name: str) -> None:
        self.add(name, stat.S_IFDIR | 0o755)

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        self.add(name, stat.S_IFREG | mode, text.encode())

    def file(self, name: str, path: os.PathLike | str, mode: int = 0o644) -> None:
        self.add(name, stat.S_IFREG | mode, pathlib.Path(path).read_bytes())

    def link(self, name: str, target: str) -> None:
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def program(self, name: str, path: os.PathLike | str) -> None:
        """A program with the libraries that the dynamic linker here takes for it, each at its own path."""
        self.file(name, path, 0o755)
        for library in libraries(path):
            self.file(library.lstrip("/"), library, 0o755)

    def bytes(self) -> bytes:
        end = Archive()
        end._entry("TRAILER!!!", 0, b"")
        data = b"".join(self.parts + end.parts)
        return data + b"\0" * (-len(data) % 512)


def libraries(program: os.PathLike | str) -> list[str]:
    """Absolute paths of what a program is linked with; none for a static one. ValueError where one is not there."""
    text = subprocess.run(["ldd", str(program)], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout
    lost = re.findall(r"^\s*(\S+) => not found", text, re.M)
    if lost:
        raise ValueError(f"{program} is linked with {', '.join(lost)}, which is not here")
    return re.findall(r"^\s*(?:\S+ => )?(/\S+) \(", text, re.M)


def ivrs() -> bytes:
    """An I/O virtualization table for QEMU's amd-iommu. The kernel takes it in place of QEMU's own, because its OEM names are the
    same and its OEM revision is higher."""
    entries = struct.pack("<BHB", 1, 0, 0)  # all devices
    entries += struct.pack("<BHBBHB", 0x48, 0, 0, 0, 0xA0, 1)  # the I/O APIC
    ivhd = struct.pack("<BBHHHQHHIQQ", 0x11, 0x11, 40 + len(entries), IOMMU_BDF, 0x40, IOMMU_BASE, 0, 0, 0, EFR, 0) + entries
    body = struct.pack("<IQ", 0x2801, 0) + ivhd  # IVinfo: EFRSup, addresses of 40 bits
    head = struct.pack("<4sIBB6s8sI4sI", b"IVRS", 36 + len(body), 1, 0, b"BOCHS ", b"BXPC    ", 2, b"TSRA", 1)
    table = bytearray(head + body)
    table[9] = -sum(table) & 0xFF  # all bytes of a table add up to 0
    return bytes(table)


def acpi_archive() -> bytes:
    """The table where the kernel looks for it: in front of the first file system, not compressed."""
    archive = Archive()
    archive.add("kernel/firmware/acpi/ivrs.aml", stat.S_IFREG | 0o644, ivrs())
    return archive.bytes()
