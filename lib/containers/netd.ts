/** What the process in the background does for containers. @module */
import { effectiveUid, kindOfPath } from "../../syscalls/index.ts";
import { checkTries, runNetd } from "../netd/index.ts";
import type { Home } from "./home.ts";
import { networksAt } from "./networks.ts";
import { beginNetd, waysAt } from "./policies.ts";
import type { ContainerRecord } from "./record.ts";

/** Answers for the names of containers, until none is in a network that has some. @param listener a socket */
export async function answerForNames(home: Home, listener: number): Promise<void> {
  if (isGone(home)) return;
  await runNetd({
    root: home.root,
    listener,
    state: home.state,
    networks: (watcher, keeper) => networksAt(home, watcher, keeper),
    dns: (id) => home.state.containers.get<ContainerRecord>(id)?.options.dns,
    ways: waysAt(home),
  });
}

/** Removed, before what was executed for it had begun: it is not made anew. */
const isGone = ({ root }: Home): boolean => kindOfPath(root) === undefined;

/** It was killed, and so what it kept has gone. @throws TsboxError `system` where it was each time */
export async function beginAgain(home: Home): Promise<void> {
  if (isGone(home)) return;
  checkTries();
  await beginNetd(home);
  if (effectiveUid() !== 0) await networksAt(home).raiseAgain();
}
