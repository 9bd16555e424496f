/** Connections that stand still, and what they take of the pipes that a user may have. @module */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, readlinkSync, readdirSync } from "node:fs";
import { Pipes } from "../lib/gateway/pipes.ts";
import { Relay } from "../lib/gateway/relay.ts";
import { Loop } from "../lib/loop/index.ts";
import { close, readNow, send, setNonBlocking, socketPair, trySyscall } from "../syscalls/index.ts";

const F_GETPIPE_SZ = 1032;
const PAGE_BYTES = 4096;
const SOFT = Number(readFileSync("/proc/sys/fs/pipe-user-pages-soft", "utf8")) || 16_384;
const CONNECTIONS = 1000;

/** Of this process's own, made since a time before. */
function pipePages(known: ReadonlySet<string>): number {
  const sizes = new Map<string, number>();
  for (const fd of readdirSync("/proc/self/fd")) {
    const link = linkOf(fd);
    if (link?.startsWith("pipe:") && !known.has(link)) sizes.set(link, trySyscall("fcntl", Number(fd), F_GETPIPE_SZ));
  }
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes / PAGE_BYTES, 0);
}
function linkOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

describe("a thousand connections to peers that never read", () => {
  const ends: (() => void)[] = [];
  afterEach(() => ends.splice(0).forEach((end) => end()));

  function world(pipes: Pipes) {
    const known = new Set(readdirSync("/proc/self/fd").flatMap((fd) => linkOf(fd) ?? []));
    const loop = new Loop();
    ends.push(() => {
      pipes[Symbol.dispose]();
      loop[Symbol.dispose]();
    });
    /** @returns the ends that others have */
    function relay(holder: { pages: number }): [inside: number, outside: number] {
      const [[inside, inner], [outside, outer]] = [socketPair(), socketPair()];
      for (const fd of [inside, inner, outside, outer]) setNonBlocking(fd);
      const made = new Relay(loop, pipes, inner, outer, { holder, ended: () => {} });
      made.begin();
      ends.unshift(() => {
        made.reset();
        for (const fd of [inside, outside]) close(fd);
      });
      return [inside, outside];
    }
    const turns = (count: number) => {
      for (let turn = 0; turn < count; turn++) loop.turn(0);
    };
    /** As much as goes. */
    const flood = (fd: number) => {
      while (send(fd, new Uint8Array(16_384)) > 0);
    };
    return { known, relay, turns, flood };
  }

  test("take a part of what their user may have, and leave others theirs", () => {
    const { known, relay, turns, flood } = world(new Pipes());
    const hostile = { pages: 0 };
    const ways = Array.from({ length: CONNECTIONS }, () => relay(hostile));
    for (let round = 0; round < 3; round++) {
      for (const [inside] of ways) flood(inside);
      turns(20);
    }
    const taken = pipePages(known);
    expect(taken).toBe(hostile.pages);
    expect(taken).toBeGreaterThan(SOFT / 32);
    expect(taken).toBeLessThanOrEqual(SOFT / 4);
    const [mine, theirs] = relay({ pages: 0 });
    send(mine, new TextEncoder().encode("hello"));
    turns(5);
    expect(new TextDecoder().decode(readNow(theirs))).toBe("hello");
    // and where they are taken from, they go on
    let passed = 0;
    const [, outside] = ways.at(-1) as [number, number];
    for (let tries = 0; passed === 0 && tries < 100; tries++, Bun.sleepSync(20)) {
      for (const [, end] of ways.slice(0, -1)) while ((readNow(end)?.length ?? 0) > 0);
      turns(5);
      passed = readNow(outside)?.length ?? 0;
    }
    expect(passed).toBeGreaterThan(0);
  }, 60_000);

  test("would take more than all of it where nobody counted", () => {
    const { known, relay, turns, flood } = world(new Pipes(Infinity));
    const ways = Array.from({ length: 400 }, () => relay({ pages: 0 }));
    for (let round = 0; round < 3; round++) {
      for (const [inside] of ways) flood(inside);
      turns(20);
    }
    expect(pipePages(known)).toBeGreaterThan(SOFT / 4);
  }, 60_000);
});
