/* SHA-256 of whole blocks, by the processor's own instructions, for a process that runs no JavaScript.
 *
 * Freestanding as the executor is (../executor): no libc, no globals, no relocations, position independent. A blob
 * begins with a table of jumps, 8 bytes each:
 *    0  supported()                   1 where the processor has the instructions
 *    8  blocks(state, bytes, count)   takes `count` blocks of 64 bytes into the eight words of `state`; 0
 *
 * FIPS 180-4, 6.2.2. Four rounds at a time: `w` holds the last sixteen words of the message schedule.
 */
typedef long i64;
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const u32 K[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

__asm__(".section .text.table,\"ax\"\njmp supported\n.balign 8\njmp blocks\n.balign 8\n.text\n");

__attribute__((used)) i64 supported(void)
{
	u32 a, b, c, d;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
		return 0;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) ? 1 : 0;
}

__attribute__((used)) i64 blocks(u32 *state, const u8 *bytes, u64 count)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i dcba = _mm_loadu_si128((const __m128i *)state), hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
	/* the instructions want the words a, b, e, f in one register, and c, d, g, h in the other */
	__m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
	for (; count; count--, bytes += 64) {
		const __m128i abef0 = abef, cdgh0 = cdgh;
		__m128i w[4];
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)), big_endian);
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			__m128i wk = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)(K + 4 * i)));
			if (i < 12) {
				const __m128i last = w[(i + 3) & 3], seven = _mm_alignr_epi8(last, w[(i + 2) & 3], 4);
				const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), seven);
				w[i & 3] = _mm_sha256msg2_epu32(sum, last);
			}
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
		}
		abef = _mm_add_epi32(abef, abef0);
		cdgh = _mm_add_epi32(cdgh, cdgh0);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
	return 0;
}
#elif defined(__aarch64__)
#include <arm_neon.h>

__asm__(".section .text.table,\"ax\"\nb supported\nnop\nb blocks\nnop\n.text\n");

/* The kernel answers for the register, since Linux 4.11: Documentation/arch/arm64/cpu-feature-registers.rst */
__attribute__((used)) i64 supported(void)
{
	u64 features;
	__asm__("mrs %0, ID_AA64ISAR0_EL1" : "=r"(features));
	return ((features >> 12) & 15) != 0;
}

__attribute__((used)) i64 blocks(u32 *state, const u8 *bytes, u64 count)
{
	uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
	for (; count; count--, bytes += 64) {
		const uint32x4_t abcd0 = abcd, efgh0 = efgh;
		uint32x4_t w[4];
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes + 16 * i)));
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			const uint32x4_t wk = vaddq_u32(w[i & 3], vld1q_u32(K + 4 * i)), before = abcd;
			if (i < 12) {
				const uint32x4_t sum = vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]);
				w[i & 3] = vsha256su1q_u32(sum, w[(i + 2) & 3], w[(i + 3) & 3]);
			}
			abcd = vsha256hq_u32(abcd, efgh, wk);
			efgh = vsha256h2q_u32(efgh, before, wk);
		}
		abcd = vaddq_u32(abcd, abcd0);
		efgh = vaddq_u32(efgh, efgh0);
	}
	vst1q_u32(state, abcd);
	vst1q_u32(state + 4, efgh);
	return 0;
}
#endif
