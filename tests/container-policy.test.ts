/** What is decided when a container has ended, and of what a health check says: pure. @module */
import { describe, expect, test } from "bun:test";
import { Beginning, freshHealth, healthCheckOf, isStarting, withResult } from "../lib/containers/health-check.ts";
import type { HealthCheck } from "../lib/containers/health-check.ts";
import { policyOf, restartDelay, startsAtBoot, type Finished } from "../lib/containers/restart-policy.ts";
import { toldStatus, type HealthRecord } from "../lib/containers/index.ts";

describe("a restart policy", () => {
  test.each([
    [undefined, { name: "no", most: Infinity }],
    ["", { name: "no", most: Infinity }],
    ["no", { name: "no", most: Infinity }],
    ["always", { name: "always", most: Infinity }],
    ["unless-stopped", { name: "unless-stopped", most: Infinity }],
    ["on-failure", { name: "on-failure", most: Infinity }],
    ["on-failure:0", { name: "on-failure", most: Infinity }],
    ["on-failure:5", { name: "on-failure", most: 5 }],
  ])("%p is read", (text, policy) => {
    expect(policyOf(text)).toEqual(policy as never);
  });

  test.each([
    ["sometimes", "unknown policy 'sometimes'"],
    ["Always", "unknown policy"],
    [":3", "unknown policy"],
    ["always:3", "can only be used with 'on-failure'"],
    ["no:", "can only be used with 'on-failure'"],
    ["on-failure:-1", "cannot be negative"],
    ["on-failure:", "must be an integer"],
    ["on-failure:2.5", "must be an integer"],
    ["on-failure:1:2", "must be an integer"],
  ])("%p is refused", (text, why) => {
    expect(() => policyOf(text)).toThrow(why);
  });
});

const finished = (changes: Partial<Finished> = {}): Finished => ({
  options: { restart: "always" },
  stopped: false,
  restarts: 0,
  exitCode: 1,
  startedAt: 1000,
  finishedAt: 2000,
  ...changes,
});
const asked = (restart: string): Pick<Finished, "options"> => ({ options: { restart } as Finished["options"] });

describe("after its end, a container", () => {
  test.each<[string, number | undefined, Partial<Finished>]>([
    ["without a policy stays as it is", undefined, { options: {} }],
    ["of `no` stays as it is", undefined, asked("no")],
    ["of `always` is started", 100, {}],
    ["of `always` is started after a success, too", 100, { exitCode: 0 }],
    ["of `unless-stopped` is started", 100, asked("unless-stopped")],
    ["of `on-failure` is started after a failure", 100, asked("on-failure")],
    ["of `on-failure` stays after a success", undefined, { ...asked("on-failure"), exitCode: 0 }],
    ["of `on-failure:2` is started a second time", 200, { ...asked("on-failure:2"), restarts: 1, restartDelay: 100 }],
    ["of `on-failure:2` is not started a third time", undefined, { ...asked("on-failure:2"), restarts: 2 }],
    ["that was stopped stays", undefined, { stopped: true }],
    ["that the machine's end stopped stays", undefined, { after: "halt" }],
    ["waits twice as long as before", 3200, { restartDelay: 1600 }],
    ["waits a minute at most", 60_000, { restartDelay: 51_200 }],
    ["waits not longer than that again", 60_000, { restartDelay: 60_000 }],
    ["that ran ten seconds begins anew", 100, { restartDelay: 60_000, finishedAt: 11_000 }],
    ["that ran a moment less does not", 60_000, { restartDelay: 60_000, finishedAt: 10_999 }],
  ])("%s", (_, delay, changes) => {
    expect(restartDelay(finished(changes))).toBe(delay as number);
  });

  test.each<[string, boolean, Partial<Finished>]>([
    ["`always`", true, {}],
    ["`always`, stopped", true, { stopped: true }],
    ["`always`, never started", false, { startedAt: undefined as never }],
    ["`unless-stopped`", true, asked("unless-stopped")],
    ["`unless-stopped`, halted with the machine", true, { ...asked("unless-stopped"), after: "halt" }],
    ["`unless-stopped`, stopped", false, { ...asked("unless-stopped"), stopped: true }],
    ["`on-failure`", false, asked("on-failure")],
    ["`no`", false, asked("no")],
  ])("and after a boot: %s", (_, starts, changes) => {
    expect(startsAtBoot(finished(changes))).toBe(starts);
  });
});

test.each<[string, Parameters<typeof toldStatus>[0]]>([
  ["created", { status: "creating" }],
  ["created", { status: "starting" }],
  ["exited", { status: "starting", finishedAt: 1, restartDelay: 0 }],
  ["restarting", { status: "starting", finishedAt: 1, restartDelay: 100 }],
  ["paused", { status: "paused", finishedAt: 1 }],
])("people are told %s of %j", (told, record) => {
  expect(toldStatus(record)).toBe(told as never);
});

describe("a health check", () => {
  const DEFAULTS = { intervalMs: 30_000, timeoutMs: 30_000, retries: 3, startPeriodMs: 0, startIntervalMs: 5000 };

  test("is that of the image, with Docker's defaults", () => {
    expect(healthCheckOf(undefined, {})).toBeUndefined();
    expect(healthCheckOf(undefined, { Healthcheck: { Test: ["NONE"] } })).toBeUndefined();
    expect(healthCheckOf(undefined, { Healthcheck: { Interval: 1e9 } })).toBeUndefined();
    expect(healthCheckOf(undefined, { Healthcheck: { Test: ["CMD", "a", "b"] } })).toEqual({
      command: ["a", "b"],
      ...DEFAULTS,
    });
    const Healthcheck = {
      Test: ["CMD-SHELL", "exit 1"],
      Interval: 1e9,
      Timeout: 2e9,
      Retries: 4,
      StartPeriod: 5e9,
      StartInterval: 6e8,
    };
    const times = { intervalMs: 1000, timeoutMs: 2000, retries: 4, startPeriodMs: 5000, startIntervalMs: 600 };
    expect(healthCheckOf(undefined, { Healthcheck, Shell: ["/bin/bash", "-xc"] })).toEqual({
      command: ["/bin/bash", "-xc", "exit 1"],
      ...times,
    });
  });

  test("is that of the options where they say something", () => {
    const Healthcheck = { Test: ["CMD", "a"], Interval: 1e9, Retries: 4 };
    expect(healthCheckOf({ test: ["NONE"] }, { Healthcheck })).toBeUndefined();
    expect(healthCheckOf({ interval: 0, retries: 0, timeout: "500ms" }, { Healthcheck })).toEqual({
      ...DEFAULTS,
      command: ["a"],
      intervalMs: 1000,
      timeoutMs: 500,
      retries: 4,
    });
    expect(healthCheckOf({ test: "true", interval: "2m", startInterval: "0s" }, {})).toEqual({
      ...DEFAULTS,
      command: ["/bin/sh", "-c", "true"],
      intervalMs: 120_000,
    });
  });

  test.each([
    [{ test: ["true"] }],
    [{ test: ["CMD"] }],
    [{ test: ["CMD-SHELL"] }],
    [{ test: "true", interval: "often" }],
    [{ test: "true", timeout: -1 }],
    [{ test: "true", retries: 1.5 }],
  ])("%p is refused", (options) => {
    expect(() => healthCheckOf(options, {})).toThrow("use the health check");
  });

  const check: HealthCheck = { command: ["true"], ...DEFAULTS, startPeriodMs: 1000 };
  const look = (exitCode: number, start: number) => ({ start, end: start + 1, exitCode, output: "" });
  const after = (health: HealthRecord, ...results: [exitCode: number, start: number][]) =>
    results.reduce((so, [exitCode, start]) => withResult(so, look(exitCode, start), check, 0), health);

  test("makes healthy at the first success, unhealthy at the third failure in a row", () => {
    const steps: [number, number, HealthRecord["status"], number][] = [
      [1, 2000, "starting", 1],
      [0, 2001, "healthy", 0],
      [1, 2002, "healthy", 1],
      [2, 2003, "healthy", 2],
      [-1, 2004, "unhealthy", 3],
      [1, 2005, "unhealthy", 4],
      [0, 2006, "healthy", 0],
    ];
    let health = freshHealth();
    for (const [exitCode, start, status, failingStreak] of steps) {
      health = after(health, [exitCode, start]);
      expect(health).toMatchObject({ status, failingStreak });
    }
    expect(health.log.map(({ exitCode }) => exitCode)).toEqual([1, 2, -1, 1, 0]);
  });

  test("forgives failures in its start period, until it has been healthy once", () => {
    const forgiven = after(freshHealth(), [1, 0], [1, 500], [1, 999], [1, 999]);
    expect(forgiven).toMatchObject({ status: "starting", failingStreak: 0 });
    expect(forgiven.log).toHaveLength(4);
    expect(after(forgiven, [1, 1000])).toMatchObject({ status: "starting", failingStreak: 1 });
    expect(after(forgiven, [0, 999], [1, 999])).toMatchObject({ status: "healthy", failingStreak: 1 });
  });

  test("comes after the start interval in its start period, until it is healthy", () => {
    expect(isStarting(freshHealth(), check, 999)).toBe(true);
    expect(isStarting(freshHealth(), check, 1000)).toBe(false);
    expect(isStarting(after(freshHealth(), [0, 1]), check, 2)).toBe(false);
  });

  test("keeps the beginning of an output", () => {
    const output = new Beginning();
    for (const size of [0, 1000, 3000, 96]) output.add(new Uint8Array(size).fill(97));
    expect(String(output)).toBe("a".repeat(4096));
    output.add(new Uint8Array(1));
    expect(String(output)).toBe(`${"a".repeat(4096)}...`);
    const whole = new Beginning();
    whole.add(new Uint8Array(10_000).fill(98));
    expect(String(whole)).toBe(`${"b".repeat(4096)}...`);
  });
});
