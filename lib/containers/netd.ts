/** What the process in the background does for containers. @module */
import { runNetd } from "../netd/index.ts";
import type { Home } from "./home.ts";
import { networksAt } from "./networks.ts";
import { waysAt } from "./policies.ts";
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
