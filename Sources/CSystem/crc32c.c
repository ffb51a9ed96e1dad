#include "csystem.h"

#include <string.h>

#if defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define POLYNOMIAL 0x82F63B78u

/* One instruction takes three cycles until its result can be used but a new one can start in each:
 * three runs side by side are three times as fast. The runs are joined by advancing a checksum over
 * as many zero bytes as the run behind it is long, which is a matrix product, here four table
 * lookups. Source of the idea: Mark Adler's crc32c.c. */
enum { LONG_RUN = 4096, SHORT_RUN = 256 };
static uint32_t bytewise[8][256];
static uint32_t past_long[4][256];
static uint32_t past_short[4][256];

static uint32_t product(const uint32_t *matrix, uint32_t vector) {
    uint32_t sum = 0;
    for (; vector; vector >>= 1, matrix++)
        if (vector & 1) sum ^= *matrix;
    return sum;
}

static void square(uint32_t *to, const uint32_t *from) {
    for (int row = 0; row < 32; row++) to[row] = product(from, from[row]);
}

/* The table that advances a checksum over `length` zero bytes; `length` is a power of two. */
static void make_past(uint32_t table[4][256], size_t length) {
    uint32_t odd[32], even[32];
    odd[0] = POLYNOMIAL;
    for (int row = 1; row < 32; row++) odd[row] = 1u << (row - 1);
    square(even, odd);
    square(odd, even);
    uint32_t *now = odd, *next = even;
    for (size_t bytes = 1; ; bytes <<= 1) {
        square(next, now);
        uint32_t *swap = now;
        now = next;
        next = swap;
        if (bytes == length) break;
    }
    for (uint32_t n = 0; n < 256; n++)
        for (int byte = 0; byte < 4; byte++) table[byte][n] = product(now, n << (8 * byte));
}

__attribute__((constructor)) static void make_tables(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t crc = n;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (POLYNOMIAL & (0u - (crc & 1u)));
        bytewise[0][n] = crc;
    }
    for (uint32_t n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++)
            bytewise[k][n] = (bytewise[k - 1][n] >> 8) ^ bytewise[0][bytewise[k - 1][n] & 255];
    make_past(past_long, LONG_RUN);
    make_past(past_short, SHORT_RUN);
}

#if defined(__x86_64__)
static inline uint32_t advance(uint32_t table[4][256], uint32_t crc) {
    return table[0][crc & 255] ^ table[1][(crc >> 8) & 255] ^ table[2][(crc >> 16) & 255] ^ table[3][crc >> 24];
}

static inline uint64_t word_at(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t three_runs(
    uint32_t crc, const uint8_t **at, size_t *count, size_t run, uint32_t table[4][256]) {
    const uint8_t *p = *at;
    size_t n = *count;
    uint64_t a = crc;
    while (n >= 3 * run) {
        uint64_t b = 0, c = 0;
        for (const uint8_t *end = p + run; p < end; p += 8) {
            a = _mm_crc32_u64(a, word_at(p));
            b = _mm_crc32_u64(b, word_at(p + run));
            c = _mm_crc32_u64(c, word_at(p + 2 * run));
        }
        a = advance(table, (uint32_t)a) ^ b;
        a = advance(table, (uint32_t)a) ^ c;
        p += 2 * run;
        n -= 3 * run;
    }
    *at = p;
    *count = n;
    return (uint32_t)a;
}

__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *p, size_t n) {
    if (n >= 3 * SHORT_RUN) {
        crc = three_runs(crc, &p, &n, LONG_RUN, past_long);
        crc = three_runs(crc, &p, &n, SHORT_RUN, past_short);
    }
    uint64_t c = crc;
    while (n >= 8) {
        c = _mm_crc32_u64(c, word_at(p));
        p += 8;
        n -= 8;
    }
    while (n--) c = _mm_crc32_u8((uint32_t)c, *p++);
    return (uint32_t)c;
}
#elif defined(__ARM_FEATURE_CRC32)
static uint32_t crc_hardware(uint32_t crc, const uint8_t *p, size_t n) {
    while (n >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
        p += 8;
        n -= 8;
    }
    while (n--) crc = __crc32cb(crc, *p++);
    return crc;
}
#endif

/* Eight bytes a step by tables, for processors without the instruction. */
static uint32_t crc_portable(uint32_t crc, const uint8_t *p, size_t n) {
    while (n >= 8) {
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        crc = bytewise[7][low & 255] ^ bytewise[6][(low >> 8) & 255] ^ bytewise[5][(low >> 16) & 255]
            ^ bytewise[4][low >> 24] ^ bytewise[3][p[4]] ^ bytewise[2][p[5]] ^ bytewise[1][p[6]] ^ bytewise[0][p[7]];
        p += 8;
        n -= 8;
    }
    while (n--) crc = (crc >> 8) ^ bytewise[0][(crc ^ *p++) & 255];
    return crc;
}

uint32_t csystem_crc32c_portable(uint32_t crc, const void *bytes, size_t count) {
    return ~crc_portable(~crc, bytes, count);
}

uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t count) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~crc_hardware(~crc, bytes, count);
#elif defined(__ARM_FEATURE_CRC32)
    return ~crc_hardware(~crc, bytes, count);
#endif
    return csystem_crc32c_portable(crc, bytes, count);
}
