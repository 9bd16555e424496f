/**
 * What a filter costs: a system call under it, and loading it; the default profile as tsbox compiles it, and as
 * libseccomp does with the rules that runc and crun would give it.
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileSeccomp, defaultProfile, resolveDockerProfile, type DockerProfile } from "../lib/seccomp/index.ts";
import type { SeccompProfile } from "../lib/spec/index.ts";
import { ARCH } from "../syscalls/index.ts";
import { noLibseccomp, openLibseccomp } from "../tests/libseccomp.ts";
import { median, shuffled, type Rounds } from "./measure.ts";
import { compare, number, table, type Bar } from "./report.ts";

// loads the filter on stdin, if any, and tells: nanoseconds for the load, and per call of each kind
const PROGRAM = `
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static struct sock_filter code[4096];
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
#define TIME(count, call) ({ double begin = now(); for (long i = 0; i < count; i++) call; (now() - begin) / count; })
int main(void)
{
	struct sock_fprog program = { read(0, code, sizeof code) / sizeof *code, code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 1;
	double load = program.len ? TIME(1, if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) return 2) : 0;
	printf("[%f, %f, %f, %f]", load, TIME(20000, syscall(SYS_getppid)), TIME(20000, syscall(SYS_ioctl, -1, 0x5401, 0)), TIME(20000, syscall(SYS_unshare, -1)));
}`;
const MEASURES = [
  "loading it, µs",
  "getppid, which is allowed: ns",
  "ioctl, by its argument: ns",
  "unshare, refused: ns",
];

interface Filter {
  name: string;
  bytes: Uint8Array;
  /** By measure, sorted. */
  values: number[][];
}

export async function seccomp(rootfs: string, rounds: Rounds): Promise<Bar[]> {
  if (!Bun.which("gcc") || noLibseccomp !== "") {
    console.log(`### Filters\n\nleft out: needs gcc and libseccomp.so.2 for x86-64\n`);
    return [];
  }
  const program = join(rootfs, "seccomp");
  writeFileSync(`${program}.c`, PROGRAM);
  if (Bun.spawnSync(["gcc", "-O1", "-o", program, `${program}.c`]).exitCode !== 0) throw new Error("gcc failed");
  const filters = [filter("no filter", new Uint8Array()), ...pair("default profile", defaultProfile([], ARCH))];
  const podmans = podmansProfile();
  if (podmans) filters.push(...pair("Podman's profile", podmans));
  for (let round = -rounds.warmUp; round < rounds.count; round++) {
    for (const index of shuffled(filters.length)) {
      const { bytes, values } = filters[index] as Filter;
      const { stdout, exitCode } = Bun.spawnSync([program], { stdin: bytes });
      if (exitCode !== 0) throw new Error(`the filter's program: exit status ${exitCode}`);
      const told = JSON.parse(stdout.toString()) as number[];
      if (round >= 0) told.forEach((ns, measure) => values[measure]?.push(measure === 0 ? ns / 1000 : ns));
    }
  }
  for (const { values } of filters) values.forEach((each) => each.sort((a, b) => a - b));
  const rows = filters.map(({ name, bytes, values }) => [
    name,
    bytes.length / 8,
    ...values.map((each) => number(median(each))),
  ]);
  console.log(`### Filters\n\n${table(["", "instructions", ...MEASURES], rows)}\n`);
  const samples = (index: number, measure: number) => ({
    name: filters[index]?.name ?? "",
    values: filters[index]?.values[measure] ?? [],
  });
  return [
    compare("a refused call under the default filter vs libseccomp's", samples(1, 3), samples(2, 3), { most: 1 }),
    compare("loading the default filter vs libseccomp's", samples(1, 0), samples(2, 0), { most: 1 }),
  ];
}

const filter = (name: string, bytes: Uint8Array): Filter => ({ name, bytes, values: MEASURES.map(() => []) });

function pair(name: string, profile: SeccompProfile): Filter[] {
  const theirs = openLibseccomp()(profile);
  if (!theirs) throw new Error("libseccomp refuses the profile");
  return [filter(`${name}, tsbox`, compileSeccomp(profile, ARCH)), filter(`${name}, libseccomp`, theirs)];
}

/** With i386 and x32, as it is used. */
function podmansProfile(): SeccompProfile | undefined {
  let text: string;
  try {
    text = readFileSync("/usr/share/containers/seccomp.json", "utf8");
  } catch {
    return undefined;
  }
  const facts = { arch: ARCH, capabilities: [], kernelRelease: "6.1" };
  return resolveDockerProfile(JSON.parse(text) as DockerProfile, facts);
}
