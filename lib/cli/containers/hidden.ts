/**
 * What supervisors execute, and nobody types: a container has ended, is to be started again, is to be looked at.
 * @module
 */
import { declare, type Add } from "../images/declare.ts";
import { withContainers } from "./with-containers.ts";
import type { Containers } from "../../containers/index.ts";

const hidden =
  (summary: string, work: (containers: Containers, id: string) => Promise<number | void>): Add =>
  (parent, name) =>
    void declare(parent, name, { summary, usage: "ID", words: ["<ID>"] }, (id: string) =>
      withContainers((containers) => work(containers, id)),
    );

export const addEnded = hidden("Decide what becomes of a container that has ended", (all, id) => all.ended(id));

export const addRestartNow = hidden("Start a container that waits for it", (all, id) => all.restartNow(id));

export const addHealth = hidden("Perform a health check", (all, id) => all.checkHealth(id));
