/**
 * Hostile programs at random, many at once: each does what it can for a while, and the host is as it was before.
 * `TSBOX_SOAK_SECONDS` says how long, `TSBOX_SOAK_SEED` repeats what was chosen.
 * @module
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { Sandbox, TsboxError, type RunOptions } from "../../lib/index.ts";
import { noBusybox, noLimits, SLOW, testUnless } from "../support/machine.ts";
import * as found from "../support/processes.ts";
import { makeRootfs } from "../support/rootfs.ts";

const root = makeRootfs();
beforeAll(() => found.adoptOrphans());
afterAll(() => root.remove());

const SECONDS = Number(process.env["TSBOX_SOAK_SECONDS"] ?? 4);
const SEED = Number(process.env["TSBOX_SOAK_SEED"] ?? Date.now() % 1e6);
const AT_ONCE = 6;
const WHAT = "hostile programs at random leave the host as it was";
const LIMITED = noLimits === undefined;

/** Lines for busybox's shell. Where no control group holds them, they hold themselves. */
const PROGRAMS: Record<string, string> = {
  "forks without end": LIMITED
    ? "while :; do sleep 100 & sleep 100 & done"
    : "for i in 1 2 3 4 5 6 7 8; do (sleep 100 &); (setsid sleep 100 &); done; wait",
  "takes memory": LIMITED ? "tail /dev/zero" : "dd if=/dev/zero of=/dev/null bs=32M count=4",
  "fills what it can write": "for d in /tmp /dev/shm /root /; do dd if=/dev/zero of=$d/full bs=1M count=24; done",
  "makes files without end": "i=0; while [ $i -lt 3000 ]; do : >/tmp/$i; i=$((i+1)); done",
  "opens files without end": 'i=3; while [ $i -lt 900 ]; do eval "exec $i</dev/zero"; i=$((i+1)); done',
  "closes all that is open": 'i=0; while [ $i -lt 256 ]; do eval "exec $i>&-"; i=$((i+1)); done',
  "executes itself": "exec sh -c 'i=0; while [ $i -lt 200 ]; do sh -c : ; i=$((i+1)); done'",
  "writes to all of /proc and /sys": "busybox find /proc /sys -type f -maxdepth 6 | while read f; do echo 1 >$f; done",
  "writes to all of /dev":
    "for f in /dev/* /dev/pts/*; do echo x >$f; done; for f in /proc/self/fd/*; do echo x >$f; done",
  "mounts and unmounts":
    "mount -t tmpfs x /tmp; mount -t proc x /mnt; mount -o remount,rw /proc/sys; umount -l /proc; umount -l /",
  "signals everybody": "kill -9 1; kill -STOP 1; kill -9 -1; kill -9 $PPID",
  "changes names and clocks":
    "hostname evil; busybox date -s 2001-01-01; busybox hwclock -w; busybox sysctl -w kernel.hostname=evil",
  "makes devices": "mknod /tmp/m c 1 1; mknod /tmp/d b 254 0; cat /tmp/m /tmp/d",
  "removes everything": "rm -rf /* ; rm -rf /proc/* /sys/* /dev/*",
  "gives everything away": "busybox chmod -R 7777 / ; busybox chown -R 1000:1000 /",
  "writes without end": "yes",
  "ignores all signals": "trap '' HUP INT QUIT TERM PIPE; while :; do :; done",
  "traces and looks":
    "for p in /proc/[0-9]*; do cat $p/environ $p/maps $p/stack; echo x >$p/mem; ls $p/root/ $p/fd/; done",
};
const NAMES = Object.keys(PROGRAMS);

/** Numbers from 0 to 1, the same for the same seed. @see mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What the kernel itself keeps changing, or others at the same time. */
const VOLATILE =
  /(\/random\/|\/fs\/quota\/|-nr$|-state$|_state$|ns_last_pid|\/pty\/nr|perf_event_max_sample_rate|_count$|\/numa|cad_pid|random_boot)/;

function settings(): Map<string, string> {
  const values = new Map<string, string>();
  const walk = (directory: string) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = `${directory}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (!VOLATILE.test(path)) {
        try {
          values.set(path, readFileSync(path, "utf8"));
        } catch {
          // only to be written, or not by this user
        }
      }
    }
  };
  walk("/proc/sys");
  return values;
}

function host() {
  const files = readdirSync(root.path, { recursive: true, encoding: "utf8" }).toSorted();
  return {
    settings: Object.fromEntries(settings()),
    hostname: hostname(),
    files: files.map((name) => {
      const { mode, uid, size } = lstatSync(`${root.path}/${name}`);
      return `${name} ${mode.toString(8)} ${uid} ${size}`;
    }),
    devices: readdirSync("/dev")
      .filter((name) => !/^(pts|shm|loop)/.test(name))
      .toSorted(),
    interfaces: found.interfaces(),
    mounts: found.mounts().filter((mount) => mount.includes(root.path)),
    clockMs: Math.round((Date.now() - performance.now()) / 5000),
  };
}

testUnless(
  noBusybox,
  `${WHAT} (${AT_ONCE} at once, seed ${SEED})`,
  async () => {
    const random = randomFrom(SEED);
    const choose = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const options = (): RunOptions => ({
      rootfs: random() < 0.8 ? root.path : "host",
      limits: {
        time: 300 + Math.floor(random() * 700),
        output: "256kb",
        ...(LIMITED ? { memory: "48mb", pids: 24, cpus: 0.5 } : {}),
      },
      user: choose(["0:0", "1000:1000"]),
      security:
        random() < 0.3 ? { seccomp: "none", capabilities: ["SYS_ADMIN", "DAC_OVERRIDE", "KILL", "SYS_PTRACE"] } : {},
      stdin: choose(["ignore", "x".repeat(100_000)]),
    });
    // what is kept for the next time is there then
    await Sandbox.run(["true"], { rootfs: root.path });
    const before = host();
    const counts: Record<string, number> = {};
    const end = performance.now() + SECONDS * 1000;
    const attacker = async () => {
      while (performance.now() < end) {
        const name = choose(NAMES);
        const started = performance.now();
        try {
          const { reason } = await Sandbox.run(["/bin/sh", "-c", `(${PROGRAMS[name]}) 2>/dev/null; true`], options());
          expect(["exit", "signal", "oom", "timeout", "output", "pids", "disk", "seccomp", "killed"]).toContain(reason);
        } catch (error) {
          // such as no /bin/sh with the host's view, where that is elsewhere
          if (!(error instanceof TsboxError)) throw error;
          expect([name, error.code]).toEqual([name, expect.stringMatching(/^(command_|mount_|limit_|system)/)]);
        }
        counts[name] = (counts[name] ?? 0) + 1;
        expect([name, performance.now() - started < 15_000 * SLOW]).toEqual([name, true]);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, attacker));
    expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(AT_ONCE);
    const gone = await found.eventually(() => (found.reapOrphans(), found.descendants().length === 0));
    expect([gone, found.descendants()]).toEqual([true, []]);
    expect(found.cgroups()).toEqual([]);
    expect(host()).toEqual(before);
  },
  (SECONDS * 1000 + 60_000) * SLOW,
);

test("these tests see what has changed: a control", () => {
  const before = host();
  expect(Object.keys(before.settings).length).toBeGreaterThan(300);
  expect(Object.keys(before.settings)).toContain("/proc/sys/kernel/core_pattern");
  root.write("tmp/new");
  expect(host().files).not.toEqual(before.files);
});
