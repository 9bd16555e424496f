/** Signals to all that is in control groups. @module */
import * as sys from "../../syscalls/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { Directory } from "./counters.ts";
import { setFrozen, waitUntilStopped } from "./freezing.ts";
import { groupsBelow } from "./tree.ts";

const SIGKILL = 9;
const KILL_MS = 10_000;
/** So many looks later there is somebody who makes processes as quickly as they are killed. */
const QUICK = 10;

/** Each once; whoever is gone by then gets none. */
export function signalProcesses(members: () => number[], signal: number): void {
  for (const pid of members()) {
    const pidfd = sys.trySyscall("pidfd_open", pid, 0);
    if (pidfd < 0) continue;
    // the number may have gone to another process before it was opened
    if (members().includes(pid)) sys.sendSignal(pidfd, signal);
    sys.close(pidfd);
  }
}

/** @throws TsboxError `system` where one does not end */
export async function killProcesses(
  groups: readonly Directory[],
  members: () => number[],
  freezer: Directory | undefined,
): Promise<void> {
  const end = performance.now() + KILL_MS;
  for (let turn = 0; ; turn++) {
    for (const { version, path } of groups) if (version === "v2") sys.writeKernelFile(`${path}/cgroup.kill`, "1");
    if (members().length === 0) return;
    const stops = turn > QUICK && freezer?.version === "v1" && setFrozen(freezer, true) >= 0;
    if (stops) await waitUntilStopped(freezer);
    signalProcesses(members, SIGKILL);
    // what is frozen in version 1 dies when it goes on
    if (freezer?.version === "v1") thawAll(freezer);
    if (members().length === 0) return;
    if (performance.now() > end) break;
    await new Promise((resolve) => setTimeout(resolve, Math.min(turn, 10)));
  }
  const left = members();
  throw new TsboxError(`kill the processes of a container: ${left.length} of them do not end: ${left.slice(0, 9)}`, {
    code: "system",
  });
}

/** The container may have frozen some itself. */
function thawAll(freezer: Directory): void {
  setFrozen(freezer, false);
  for (const { above, name } of groupsBelow(freezer.path)) above.writeTo(`${name}/freezer.state`, "THAWED");
}
