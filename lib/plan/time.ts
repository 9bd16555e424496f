/**
 * A time namespace: its clocks are ahead of the host's, or behind them. The command enters it when it is executed, which
 * takes Linux 6.1.
 * @module
 * @see time_namespaces(7)
 */
import { cstring, named, ref, TsboxError } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import type { Facts } from "./compile.ts";
import { flags } from "./constants.ts";
import { isOwn } from "./intermediate.ts";

/** @throws TsboxError `invalid_option`, `unsupported` */
export function checkTime(spec: Spec, { kernel }: Facts): void {
  const own = isOwn(spec, "time");
  if (spec.linux.timeOffsets && !own) {
    const hint = "make the time namespace private";
    throw new TsboxError("set time offsets: the time namespace is not the sandbox's own", {
      code: "invalid_option",
      hint,
    });
  }
  if (own && kernel && (kernel[0] < 6 || (kernel[0] === 6 && kernel[1] < 1))) {
    const hint = "processes enter them when they are executed since Linux 6.1";
    throw new TsboxError("use the time namespace: this kernel is too old", { code: "unsupported", hint });
  }
}

/** The first process makes it, and its children are in it once they have executed something. */
export function timeSteps(spec: Spec): Plan {
  if (!isOwn(spec, "time")) return [];
  const make: Step = {
    action: "make the time namespace",
    ops: [{ call: "unshare", args: [flags("CLONE_NEWTIME")] }],
    code: "unsupported",
    hint: (errno) => (errno === "EINVAL" ? "time namespaces exist since Linux 5.6" : undefined),
  };
  const offsets = Object.entries(spec.linux.timeOffsets ?? {});
  if (offsets.length === 0) return [make];
  const text = cstring(offsets.map(([clock, { secs, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`).join(""));
  const how = named("O_WRONLY|O_CLOEXEC", 0o2000001);
  const ops: Op[] = [
    { call: "openat", args: [flags("AT_FDCWD"), cstring("/proc/self/timens_offsets"), how, 0], out: "offsets" },
    { call: "write", args: [ref("offsets"), text, text.data.length - 1] },
    { call: "close", args: [ref("offsets")] },
  ];
  const hint = (errno: string | undefined) =>
    errno === "ERANGE" ? "the clocks may neither be below zero nor beyond 146 years" : undefined;
  return [make, { action: "set the offsets of its clocks", ops, code: "invalid_option", hint }];
}
