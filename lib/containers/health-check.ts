/**
 * How it is found out whether a container does what it is for, and what one look says. Pure.
 * @module
 * @see https://docs.docker.com/reference/dockerfile/#healthcheck
 */
import { TsboxError } from "../../syscalls/index.ts";
import type { ContainerConfig } from "../image/index.ts";
import { parseDuration, type Duration } from "../sandbox/index.ts";
import type { HealthOptions } from "./options.ts";
import type { HealthLog, HealthRecord } from "./record.ts";

export interface HealthCheck {
  command: string[];
  intervalMs: number;
  timeoutMs: number;
  retries: number;
  startPeriodMs: number;
  startIntervalMs: number;
}

const SECOND_MS = 1000;
const MILLISECOND_NS = 1e6;
const SHELL = ["/bin/sh", "-c"];
const LOGS_KEPT = 5;
const OUTPUT_BYTES = 4096;
const RETRIES = 3;

/**
 * What is not asked for, or is 0, is as the image says.
 * @returns undefined where nothing is checked
 * @throws TsboxError `invalid_option`
 */
export function healthCheckOf(asked: HealthOptions | undefined, image: ContainerConfig): HealthCheck | undefined {
  const { Healthcheck: own = {}, Shell } = image;
  const command = commandOf(testOf(asked?.test) ?? own.Test ?? [], Shell?.length ? Shell : SHELL);
  if (!command) return undefined;
  const time = (name: "interval" | "timeout" | "startPeriod" | "startInterval", ns = 0, otherwise: number) =>
    durationOf(name, asked?.[name]) || ns / MILLISECOND_NS || otherwise;
  return {
    command,
    intervalMs: time("interval", own.Interval, 30 * SECOND_MS),
    timeoutMs: time("timeout", own.Timeout, 30 * SECOND_MS),
    startPeriodMs: time("startPeriod", own.StartPeriod, 0),
    startIntervalMs: time("startInterval", own.StartInterval, 5 * SECOND_MS),
    retries: retriesOf(asked?.retries) || own.Retries || RETRIES,
  };
}

function testOf(test: string | string[] | undefined): string[] | undefined {
  if (test === undefined || test.length === 0) return undefined;
  return typeof test === "string" ? ["CMD-SHELL", test] : test;
}

/** @throws TsboxError `invalid_option` */
function commandOf([kind, ...words]: string[], shell: string[]): string[] | undefined {
  if (kind === undefined || kind === "NONE") return undefined;
  const [line] = words;
  if (kind === "CMD" && line !== undefined) return words;
  if (kind === "CMD-SHELL" && line !== undefined) return [...shell, line];
  throw new TsboxError(`use the health check ${JSON.stringify([kind, ...words])}: not understood`, {
    code: "invalid_option",
    hint: '["CMD", "program", "argument"], ["CMD-SHELL", "line"] or ["NONE"]',
  });
}

function durationOf(name: string, duration: Duration | undefined): number {
  if (duration === undefined || /^0(ms|s|m|h)?$/.test(String(duration))) return 0;
  return parseDuration(`use the health check's ${name}`, duration);
}

function retriesOf(retries: number = 0): number {
  if (Number.isInteger(retries) && retries >= 0) return retries;
  throw new TsboxError(`use the health check's retries ${retries}: not understood`, {
    code: "invalid_option",
    hint: "a whole number from 0",
  });
}

/** Of a container that has just been started. */
export const freshHealth = (): HealthRecord => ({ status: "starting", failingStreak: 0, log: [] });

/** @param startedAt when the container was @returns what is known of its health with one look more */
export function withResult(
  health: HealthRecord,
  result: HealthLog,
  { retries, startPeriodMs }: HealthCheck,
  startedAt: number,
): HealthRecord {
  const log = [...health.log, result].slice(-LOGS_KEPT);
  if (result.exitCode === 0) return { status: "healthy", failingStreak: 0, log };
  const forgiven = health.status === "starting" && result.start - startedAt < startPeriodMs;
  if (forgiven) return { ...health, log };
  const failingStreak = health.failingStreak + 1;
  return { status: failingStreak >= retries ? "unhealthy" : health.status, failingStreak, log };
}

/** Whether the next look comes after the start interval. */
export const isStarting = ({ status }: HealthRecord, { startPeriodMs }: HealthCheck, ranMs: number): boolean =>
  status === "starting" && ranMs < startPeriodMs;

/** What is kept of an output: its beginning. */
export class Beginning {
  #bytes = new Uint8Array();
  #isCut = false;

  add(piece: Uint8Array): void {
    const room = OUTPUT_BYTES - this.#bytes.length;
    if (piece.length > room) this.#isCut = true;
    if (room === 0) return;
    const all = new Uint8Array(this.#bytes.length + Math.min(room, piece.length));
    all.set(this.#bytes);
    all.set(piece.subarray(0, room), this.#bytes.length);
    this.#bytes = all;
  }

  toString(): string {
    return new TextDecoder().decode(this.#bytes) + (this.#isCut ? "..." : "");
  }
}
