/** Struct layouts against offsetof and sizeof of the C headers, and the helper that fills a struct. @module */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { EPOLL_EVENT, STAT, STRUCTS, fillStruct, struct, type Layout, type StructName } from "../syscalls/structs.ts";
import { ARCHES, evaluate, missingCompiler } from "./headers.ts";

/** The kernel's own headers where there are any: the C library's `struct stat` and `struct sigaction` are others. */
const KERNEL_HEADERS =
  "fcntl sched sched/types time resource capability filter seccomp landlock signal signalfd openat2 mount stat uio poll termios fs dqblk_xfs eventpoll"
    .split(" ")
    .map((name) => `linux/${name}.h`)
    .concat("asm/stat.h", "asm/statfs.h");
/** Those that the kernel has no public header for, or one that brings the C library along. */
const LIBRARY_STRUCTS = new Set<string>([
  "msghdr",
  "mmsghdr",
  "cmsghdr",
  "ucred",
  "ifreq",
  "linger",
  "sockaddr_in",
  "sockaddr_in6",
  "in_pktinfo",
  "in6_pktinfo",
]);

const typeName = (name: string) => (name.endsWith("_t") ? name : `struct ${name}`);

describe.each(ARCHES)("%s", (arch) => {
  const layouts: [string, Layout][] = [
    ...Object.entries<Layout>(STRUCTS),
    ["stat", STAT[arch]],
    ["epoll_event", EPOLL_EVENT[arch]],
  ];
  const reason = missingCompiler(arch);

  test.skipIf(reason !== "")(`every layout is that of the C headers${reason}`, () => {
    for (const library of [false, true]) {
      const some = layouts.filter(([name]) => LIBRARY_STRUCTS.has(name) === library);
      const questions = some.flatMap(([name, { fields }]) => [
        `sizeof(${typeName(name)})`,
        ...Object.keys(fields).flatMap((field) => [
          `offsetof(${typeName(name)}, ${field})`,
          `sizeof(((${typeName(name)} *)0)->${field})`,
        ]),
      ]);
      const answers = evaluate(
        arch,
        library ? ["sys/socket.h", "netinet/in.h", "net/if.h"] : KERNEL_HEADERS,
        questions,
      );
      const next = () => answers.shift() as number;
      const found = some.map(([name, { fields }]): [string, Layout] => {
        const size = next();
        return [name, { size, fields: Object.fromEntries(Object.keys(fields).map((f) => [f, [next(), next()]])) }];
      });
      expect(some).toEqual(found);
    }
  });

  test.skipIf(reason !== "")(`struct rlimit is struct rlimit64${reason}`, () => {
    const [size, max] = evaluate(arch, KERNEL_HEADERS, ["sizeof(struct rlimit)", "offsetof(struct rlimit, rlim_max)"]);
    expect({ size, max }).toEqual({ size: STRUCTS.rlimit64.size, max: STRUCTS.rlimit64.fields.rlim_max[0] });
  });
});

test("fields lie inside their struct and do not overlap", () => {
  for (const [name, { size, fields }] of [...Object.entries<Layout>(STRUCTS), ...Object.entries<Layout>(STAT)]) {
    let end = 0;
    for (const [field, [offset, length]] of Object.entries(fields).toSorted(([, a], [, b]) => a[0] - b[0])) {
      expect(offset, `${name}.${field}`).toBeGreaterThanOrEqual(end);
      end = offset + length;
    }
    expect(end, name).toBeLessThanOrEqual(size);
  }
});

test("a struct is zeros but for the fields that are named", () => {
  const bytes = struct("open_how", { flags: 0o12000000, resolve: 0x12 });
  expect([...new BigUint64Array(bytes.buffer)]).toEqual([0o12000000n, 0n, 0x12n]);
  expect(struct("clone_args", {})).toEqual(new Uint8Array(88));
});

test.each<[StructName, string, number | bigint | Uint8Array, number[]]>([
  ["sock_filter", "jt", 255, [255]],
  ["sock_fprog", "len", 0x1234, [0x34, 0x12]],
  ["pollfd", "events", -1, [255, 255]],
  ["pollfd", "fd", -1, [255, 255, 255, 255]],
  ["ucred", "uid", 0xfffffffe, [254, 255, 255, 255]],
  ["clone_args", "flags", 0x1_0000_0100, [0, 1, 0, 0, 1, 0, 0, 0]],
  ["rlimit64", "rlim_cur", -1, [255, 255, 255, 255, 255, 255, 255, 255]],
  ["rlimit64", "rlim_cur", 2n ** 64n - 1n, [255, 255, 255, 255, 255, 255, 255, 255]],
  ["rlimit64", "rlim_cur", -1n, [255, 255, 255, 255, 255, 255, 255, 255]],
  ["ifreq", "ifr_name", new Uint8Array([108, 111]), [108, 111, 0]],
])("%s.%s = %p", (name, field, value, bytes) => {
  const [offset] = (STRUCTS[name] as Layout).fields[field]!;
  expect([...struct(name, { [field]: value }).subarray(offset, offset + bytes.length)]).toEqual(bytes);
});

test.each<[StructName, string, number | bigint | Uint8Array]>([
  ["sock_fprog", "len", 65536],
  ["sock_filter", "jt", -129],
  ["ucred", "pid", 2 ** 32],
  ["clone_args", "flags", 1.5],
  ["clone_args", "flags", 2 ** 53],
  ["clone_args", "flags", 2n ** 64n],
  ["clone_args", "flags", NaN],
  ["ucred", "pid", 1n],
  ["rusage", "ru_utime", 1],
  ["ifreq", "ifr_name", new Uint8Array(17)],
])("%s.%s refuses %p", (name, field, value) => {
  expect(() => struct(name, { [field]: value })).toThrow(`set ${name}.${field} to `);
});

test("every safe number is written as BigInt would write it", () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      expect(struct("timespec", { tv_nsec: value })).toEqual(struct("timespec", { tv_nsec: BigInt(value) }));
    }),
  );
});

test("filling in place leaves the other fields, and respects where the view begins", () => {
  const memory = new Uint8Array(40).fill(7);
  fillStruct(new DataView(memory.buffer, 8), 8, "rlimit64", { rlim_max: 1 });
  expect([...memory]).toEqual([...Array(24).fill(7), 1, 0, 0, 0, 0, 0, 0, 0, ...Array(8).fill(7)]);
});
