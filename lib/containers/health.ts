/** Looks whether a container does what it is for. Its supervisor executes tsbox for this: `tsbox container health ID`. @module */
import { kindOfPath } from "../../syscalls/index.ts";
import { SOON_STATUS } from "../plan/index.ts";
import type { SandboxProcess } from "../sandbox/index.ts";
import { addContainerEvent } from "./events.ts";
import { exec } from "./exec.ts";
import { recordOf } from "./find.ts";
import { Beginning, healthCheckOf, isStarting, withResult, type HealthCheck } from "./health-check.ts";
import type { Home } from "./home.ts";
import { imageConfigOf } from "./image-config.ts";
import type { ContainerRecord, HealthLog } from "./record.ts";

/** Statuses that tell the supervisor when the next look is to be: after the interval, or the start interval. */
const [AFTER_INTERVAL, AFTER_START_INTERVAL] = [0, SOON_STATUS];
const NOT_RUN = -1;
/** What it has written is there when it has ended; others may hold its pipes open for ever. */
const OUTPUT_MS = 200;

/** @returns what the process exits with */
export async function checkHealth(home: Home, id: string): Promise<number> {
  if (kindOfPath(home.path(id)) === undefined) return AFTER_INTERVAL;
  const record = recordOf(home, id);
  const check = healthCheckOf(record.options.health, imageConfigOf(home, record));
  if (record.status !== "running" || !check || !record.health || record.startedAt === undefined) return AFTER_INTERVAL;
  const result = await look(home, id, check);
  const now = writeDown(home, record, result, check);
  const ranMs = result.end - record.startedAt;
  return now?.health && isStarting(now.health, check, ranMs) ? AFTER_START_INTERVAL : AFTER_INTERVAL;
}

/** Unless it has been about another run. */
function writeDown(
  home: Home,
  { id, startedAt = 0 }: ContainerRecord,
  result: HealthLog,
  check: HealthCheck,
): ContainerRecord | undefined {
  return home.state.transaction(() => {
    let before: string | undefined;
    const now = home.state.containers.update<ContainerRecord>(id, (row) => {
      const runs = row.status === "running" || row.status === "paused";
      before = runs && row.startedAt === startedAt ? row.health?.status : undefined;
      if (before === undefined || !row.health) return undefined;
      return { ...row, health: withResult(row.health, result, check, startedAt) };
    });
    const status = now?.health?.status;
    if (now && before !== undefined && status !== before) addContainerEvent(home, now, `health_status: ${status}`);
    return now;
  });
}

async function look(home: Home, id: string, check: HealthCheck): Promise<HealthLog> {
  const start = Date.now();
  const output = new Beginning();
  const told = (exitCode: number, said: string): HealthLog => ({ start, end: Date.now(), exitCode, output: said });
  try {
    const process = await exec(home, id, check.command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const { exitCode, isLate } = await endOf(process, check.timeoutMs, output);
    if (!isLate) return told(exitCode, String(output));
    return told(NOT_RUN, `Health check exceeded timeout (${seconds(check.timeoutMs)}): ${output}`);
  } catch (error) {
    return told(NOT_RUN, (error as Error).message);
  }
}

const seconds = (ms: number) => (ms < 1000 ? `${ms}ms` : `${ms / 1000}s`);

async function endOf(
  process: SandboxProcess,
  timeoutMs: number,
  output: Beginning,
): Promise<{ exitCode: number; isLate: boolean }> {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    process.kill("SIGKILL");
  }, timeoutMs);
  const read = Promise.all([process.stdout, process.stderr].map((stream) => collect(stream, output)));
  try {
    const exitCode = await process.exited;
    let wait: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([read, new Promise((resolve) => (wait = setTimeout(resolve, OUTPUT_MS)))]);
    clearTimeout(wait);
    return { exitCode, isLate };
  } finally {
    clearTimeout(timer);
  }
}

async function collect(stream: ReadableStream<Uint8Array> | undefined, output: Beginning): Promise<void> {
  if (stream) for await (const piece of stream) output.add(piece);
}
