/* The executor: walks a plan (an array of system calls prepared by TypeScript) where no JavaScript can run.
 *
 * Freestanding: no libc, no globals, no relocations, position independent. Built by build.sh into flat blobs.
 * A blob begins with a table of jumps, 8 bytes each:
 *    0  syscall6(nr, a, b, c, d, e, f)   one raw system call; returns -errno
 *    8  run(program, first)              walks a plan in the calling thread
 *   16  start                            entry of an ELF image; the program lies at IMAGE_PROGRAM
 */
typedef long i64;
typedef unsigned long u64;
typedef unsigned int u32;
typedef int i32;
typedef unsigned short u16;
typedef unsigned char u8;

#define IMAGE_PROGRAM 0x602000UL /* image.ts says why */
#define SLOTS 256

enum { ON_ERROR_FAIL, ON_ERROR_IGNORE, ON_ERROR_IGNORE_ERRNO, ON_ERROR_JUMP };
enum { OP_END = -1, OP_JUMP = -2, OP_STORE = -3, OP_LOAD = -4, OP_JUMP_IF = -5, OP_SPAWN = -6, OP_FAIL = -7, OP_PRINT = -8,
       OP_RUN = -9 };

struct op {          /* 64 bytes */
	i32 nr;      /* system call, or one of OP_* */
	u8 dst;      /* slot that takes the result; 0 is never read */
	u8 on_error; /* ON_ERROR_* */
	u16 refs;    /* bit i: argument i is the number of a slot */
	u32 error;   /* errno to ignore, or op to jump to; JUMP and JUMP_IF: the target */
	u32 step;    /* reported with a failure: which step of the plan this op belongs to */
	u64 arg[6];
};

struct program {        /* 4096 bytes of head, then the ops */
	u32 failed;     /* 0, or 1 + the step that failed */
	i32 failure;    /* its errno */
	i32 report_fd;  /* where a failure is written to, or -1 */
	u32 failed_op;  /* index of the op that failed */
	i64 slot[SLOTS];
	u8 rest[4096 - 16 - SLOTS * 8];
	struct op op[];
};

#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define NR_WRITE 1
#define NR_CLONE3 435
#define NR_EXIT_GROUP 231
INLINE i64 sys(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	i64 r;
	register u64 r10 __asm__("r10") = d;
	register u64 r8 __asm__("r8") = e;
	register u64 r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}
__asm__(".section .text.table,\"ax\"\n"
	"jmp syscall6\n.balign 8\njmp run\n.balign 8\n"
	"xor %ebp,%ebp\njmp start\n.balign 8\n.text\n");
#elif defined(__aarch64__)
#define NR_WRITE 64
#define NR_CLONE3 435
#define NR_EXIT_GROUP 94
INLINE i64 sys(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	register u64 x8 __asm__("x8") = nr;
	register u64 x0 __asm__("x0") = a;
	register u64 x1 __asm__("x1") = b;
	register u64 x2 __asm__("x2") = c;
	register u64 x3 __asm__("x3") = d;
	register u64 x4 __asm__("x4") = e;
	register u64 x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
__asm__(".section .text.table,\"ax\"\n"
	"b syscall6\nnop\nb run\nnop\nb start\nnop\n.text\n");
#endif

i64 run(struct program *p, u64 first);

i64 syscall6(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	return sys(nr, a, b, c, d, e, f);
}

/* What a cloned child does: the plan ends in execve or exit, so it never comes back. */
__attribute__((noreturn, used)) void child(struct program *p, u64 first)
{
	/* not p->failed: that may be another process's failure in the same memory */
	i64 r = run(p, first);
	for (;;)
		sys(NR_EXIT_GROUP, r ? 127 : 0, 0, 0, 0, 0, 0);
}

/* clone3 with an own stack: the child must not return through the parent's frames, so it calls child() at once. */
static __attribute__((noinline)) i64 clone_into(struct program *p, u64 first, u64 args, u64 size)
{
	i64 r;
#if defined(__x86_64__)
	register u64 program __asm__("r12") = (u64)p;
	register u64 index __asm__("r13") = first;
	__asm__ volatile("syscall\n\ttest %%rax,%%rax\n\tjnz 1f\n\t"
			 "xor %%ebp,%%ebp\n\tmov %%r12,%%rdi\n\tmov %%r13,%%rsi\n\tcall child\n1:"
			 : "=a"(r) : "a"(NR_CLONE3), "D"(args), "S"(size), "r"(program), "r"(index)
			 : "rcx", "r11", "memory");
#else
	register u64 program __asm__("x19") = (u64)p;
	register u64 index __asm__("x20") = first;
	register u64 x8 __asm__("x8") = NR_CLONE3;
	register u64 x0 __asm__("x0") = args;
	register u64 x1 __asm__("x1") = size;
	__asm__ volatile("svc 0\n\tcbnz x0,1f\n\tmov x29,xzr\n\tmov x0,x19\n\tmov x1,x20\n\tbl child\n1:"
			 : "+r"(x0) : "r"(x8), "r"(x1), "r"(program), "r"(index) : "x30", "memory");
	r = x0;
#endif
	return r;
}

/* Returns 0, or -errno of the op that failed. */
i64 run(struct program *p, u64 first)
{
	for (u64 i = first;; i++) {
		struct op *o = &p->op[i];
		u64 a[6];
		i64 r = 0;
		for (int k = 0; k < 6; k++)
			a[k] = (o->refs >> k) & 1 ? (u64)p->slot[o->arg[k] & (SLOTS - 1)] : o->arg[k];
		if (o->nr >= 0) {
			r = sys(o->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		} else if (o->nr == OP_END) {
			return 0;
		} else if (o->nr == OP_JUMP) {
			i = o->error - 1UL;
			continue;
		} else if (o->nr == OP_STORE) { /* *(a0 as a2 bytes) = a1 */
			if (a[2] == 4)
				*(u32 *)a[0] = a[1];
			else
				*(u64 *)a[0] = a[1];
			continue;
		} else if (o->nr == OP_LOAD) { /* dst = *(a0 as signed a1 bytes) */
			p->slot[o->dst] = a[1] == 4 ? (i64) * (volatile i32 *)a[0] : *(volatile i64 *)a[0];
			continue;
		} else if (o->nr == OP_JUMP_IF) { /* a2: 0 equal, 1 not equal, 2 less than */
			if (a[2] == 0 ? a[0] == a[1] : a[2] == 1 ? a[0] != a[1] : (i64)a[0] < (i64)a[1])
				i = o->error - 1UL;
			continue;
		} else if (o->nr == OP_SPAWN) { /* clone3(a0, a1), the child goes on at op a2 */
			r = clone_into(p, a[2], a[0], a[1]);
		} else if (o->nr == OP_PRINT) { /* a1 in decimal digits and a NUL at a0 */
			u8 *to = (u8 *)a[0];
			u64 unit = 1;
			while (a[1] / unit > 9)
				unit *= 10;
			for (; unit; unit /= 10)
				*to++ = '0' + a[1] / unit % 10;
			*to = 0;
			continue;
		} else if (o->nr == OP_RUN) { /* walks the program at a0 from op a1 on */
			r = run((struct program *)a[0], a[1]);
		} else { /* OP_FAIL: errno a0, or the result of a failed call */
			r = (i64)a[0] < 0 ? (i64)a[0] : -(i64)a[0];
		}
		p->slot[o->dst] = r;
		if (r >= 0 || r < -4095 || o->on_error == ON_ERROR_IGNORE)
			continue;
		if (o->on_error == ON_ERROR_IGNORE_ERRNO && -r == o->error)
			continue;
		if (o->on_error == ON_ERROR_JUMP) {
			i = o->error - 1UL;
			continue;
		}
		p->failure = -r;
		p->failed_op = i;
		p->failed = 1 + o->step;
		if (p->report_fd >= 0)
			sys(NR_WRITE, p->report_fd, (u64)p, 16, 0, 0, 0);
		return r;
	}
}

__attribute__((noreturn, used)) void start(void)
{
	child((struct program *)IMAGE_PROGRAM, 0);
}
