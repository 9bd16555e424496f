/** What the process in the background does for containers. @module */
import { effectiveUid } from "../../syscalls/index.ts";
import { checkTries, runNetd } from "../netd/index.ts";
import type { Home } from "./home.ts";
import { networksAt } from "./networks.ts";
import { beginNetd, waysAt } from "./policies.ts";
import type { ContainerRecord } from "./record.ts";

/** Answers for the names of containers, until none is in a network that has some. @param listener a socket */
export const answerForNames = (home: Home, listener: number): Promise<void> =>
  runNetd({
    root: home.root,
    listener,
    state: home.state,
    networks: (watcher, keeper) => networksAt(home, watcher, keeper),
    dns: (id) => home.state.containers.get<ContainerRecord>(id)?.options.dns,
    ways: waysAt(home),
  });

/** It was killed, and so what it kept has gone. @throws TsboxError `system` where it was each time */
export async function beginAgain(home: Home): Promise<void> {
  checkTries();
  await beginNetd(home);
  if (effectiveUid() !== 0) await networksAt(home).raiseAgain();
}
