/// The few C lines that Swift cannot say: checksums by CPU instruction, and system calls whose
/// arguments the importer hides. Header and one C file; the only state is tables made at load.
#ifndef CSYSTEM_H
#define CSYSTEM_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `count` bytes, continued from `crc`
/// (0 for a new checksum). Uses the SSE 4.2 or ARMv8 instruction where the CPU has it.
uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same without the instruction. For processors that have none, and to test the other against.
uint32_t csystem_crc32c_portable(uint32_t crc, const void *bytes, size_t count);

/// `syncfs(2)`: 0, or -1 with `errno`.
int csystem_syncfs(int descriptor);

/// `fallocate(2)` of the first `size` bytes: 0, or -1 with `errno`.
int csystem_allocate(int descriptor, int64_t size);

#endif
