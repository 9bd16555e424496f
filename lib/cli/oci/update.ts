/** `update`: flags, or a file, to `resources` of the specification. @module */
import * as engine from "../../oci/index.ts";
import { UsageError, type Call, type Values } from "./flags.ts";

/** By group and name in the specification: the flag, and whether it is a size in bytes. */
const FIELDS: Record<string, Record<string, readonly [flag: string, kind: "number" | "size" | "text"]>> = {
  memory: {
    limit: ["memory", "size"],
    reservation: ["memory-reservation", "size"],
    swap: ["memory-swap", "size"],
    kernel: ["kernel-memory", "size"],
    kernelTCP: ["kernel-memory-tcp", "size"],
  },
  cpu: {
    shares: ["cpu-share", "number"],
    quota: ["cpu-quota", "number"],
    burst: ["cpu-burst", "number"],
    period: ["cpu-period", "number"],
    realtimeRuntime: ["cpu-rt-runtime", "number"],
    realtimePeriod: ["cpu-rt-period", "number"],
    idle: ["cpu-idle", "number"],
    cpus: ["cpuset-cpus", "text"],
    mems: ["cpuset-mems", "text"],
  },
  pids: { limit: ["pids-limit", "number"] },
  blockIO: { weight: ["blkio-weight", "number"] },
};

export async function update({ runtime, args: [id = ""], values }: Call): Promise<void> {
  const file = values.text("resources");
  const resources = file === undefined ? JSON.stringify(resourcesOf(values)) : read(file);
  await engine.update(runtime, id, resources, {
    l3CacheSchema: values.text("l3-cache-schema"),
    memBwSchema: values.text("mem-bw-schema"),
  });
}

function read(file: string): string {
  const { readFileSync } = process.getBuiltinModule("node:fs");
  return readFileSync(file === "-" ? 0 : file, "utf8");
}

/** Only what was said. */
export function resourcesOf(values: Values): Record<string, Record<string, number | string>> {
  const resources: Record<string, Record<string, number | string>> = {};
  for (const [group, fields] of Object.entries(FIELDS)) {
    for (const [field, [flag, kind]] of Object.entries(fields)) {
      const text = values.text(flag);
      if (text === undefined) continue;
      (resources[group] ??= {})[field] =
        kind === "text" ? text : kind === "size" ? size(flag, text) : number(flag, text);
    }
  }
  return resources;
}

const refuse = (flag: string, text: string, what: string) =>
  new UsageError(`invalid value for ${flag}: ${JSON.stringify(text)} is ${what}`);

function number(flag: string, text: string): number {
  const value = Number(text);
  if (/^-?\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw refuse(flag, text, "not a whole number");
}

/** As Docker writes sizes: `64m`, `1.5G`, `10 KiB`; -1 is unlimited. */
function size(flag: string, text: string): number {
  if (text === "-1") return -1;
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * 1024 ** " kmgtp".indexOf(unit.toLowerCase() || " "));
  if (digits !== "" && Number.isSafeInteger(bytes)) return bytes;
  throw refuse(flag, text, 'no size: a number of bytes, or with a unit, "64m"');
}
