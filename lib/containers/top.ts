/** The processes of a container, as ps(1) shows them. @module */
import { checkArray, checkText } from "../options/index.ts";
import { readKernelFile, TsboxError } from "../../syscalls/index.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { accountsOf, idsInside } from "./inside.ts";
import { pidsOf, processFacts, type ProcessFacts } from "./processes.ts";
import type { Field, Moment } from "./ps-fields.ts";
import { psOptions, type PsOptions } from "./ps-options.ts";
import type { ContainerRecord } from "./record.ts";
import { notRunning, runs } from "./status.ts";

export type TopRow = string[];

export interface Top {
  titles: string[];
  rows: TopRow[];
}

/**
 * Pids are those of the host, users and groups those that the container has.
 * @param words of ps(1); none: `-ef`
 * @throws TsboxError `container_state`, `invalid_option`
 */
export async function top(home: Home, id: string, words: string[]): Promise<Top> {
  for (const word of checkArray("words of ps", words)) checkText("word of ps", word);
  const options = psOptions(words);
  const record = recordOf(home, id);
  checkRunning(record);
  const all = pidsOf(record).flatMap((pid) => processFacts(pid) ?? []);
  return topOf(all, options, momentOf(record.pid));
}

/** @throws TsboxError `container_state` */
export function checkRunning({ id, status }: Pick<ContainerRecord, "id" | "status">): void {
  if (runs({ id, status })) return;
  if (status !== "restarting") throw notRunning(id);
  throw new TsboxError(`container ${id} is restarting, wait until the container is running`, {
    code: "container_state",
  });
}

/** Pure. */
export function topOf(all: readonly ProcessFacts[], { fields, sort }: PsOptions, moment: Moment): Top {
  const sorted = sort.toReversed().reduce((found, { field, isDescending }) => {
    const order = found.toSorted((a, b) => compare(field, a, b, moment));
    return isDescending ? order.toReversed() : order;
  }, all);
  return {
    titles: fields.map(({ title }) => title),
    rows: sorted.map((facts) => fields.map(({ of }) => String(of(facts, moment)))),
  };
}

function compare({ of }: Field, a: ProcessFacts, b: ProcessFacts, moment: Moment): number {
  const [one, other] = [of(a, moment), of(b, moment)];
  const [x, y] = [Number(one), Number(other)];
  if (Number.isFinite(x) && Number.isFinite(y)) return x - y;
  return String(one) < String(other) ? -1 : String(one) > String(other) ? 1 : 0;
}

function momentOf(pid: number): Moment {
  const { uid, gid } = idsInside(pid);
  const accounts = accountsOf(pid);
  const uptime = Number((readKernelFile("/proc/uptime") ?? "0").split(" ")[0]);
  const memory = /^MemTotal:\s*(\d+)/m.exec(readKernelFile("/proc/meminfo") ?? "")?.[1];
  const now = Date.now();
  return {
    now,
    boot: now - uptime * 1000,
    memoryBytes: Number(memory ?? 1) * 1024,
    uid,
    gid,
    user: (id) => accounts.user(uid(id)) ?? String(uid(id)),
    group: (id) => accounts.group(gid(id)) ?? String(gid(id)),
  };
}
