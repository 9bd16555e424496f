/** Containers in words, as Docker's lists have them. @module */
import type { ContainerRecord } from "../../containers/index.ts";
import { humanDuration } from "../images/human.ts";

type Told = Pick<ContainerRecord, "status" | "startedAt" | "finishedAt" | "exitCode" | "health">;

const HEALTH = { starting: "health: starting", healthy: "healthy", unhealthy: "unhealthy" } as const;

/** `Up 3 minutes (healthy)`, `Exited (0) 2 hours ago`. @param now milliseconds since 1970 */
export function statusText({ status, startedAt, finishedAt, exitCode = 0, health }: Told, now: number): string {
  const since = (time: number | undefined) => humanDuration(Math.max(0, now - (time ?? now)));
  switch (status) {
    case "running":
      return `Up ${since(startedAt)}${health ? ` (${HEALTH[health.status]})` : ""}`;
    case "paused":
      return `Up ${since(startedAt)} (Paused)`;
    case "restarting":
      return `Restarting (${exitCode}) ${since(finishedAt)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
    case "exited":
      return finishedAt === undefined ? `Exited (${exitCode})` : `Exited (${exitCode}) ${since(finishedAt)} ago`;
    // one that is being made or started is not up yet
    case "creating":
    case "starting":
    case "created":
      return "Created";
  }
}

/** `creating` and `starting` are nobody else's words. */
export const stateText = ({ status }: Pick<ContainerRecord, "status">): string =>
  status === "starting" || status === "creating" ? "created" : status;

/** As one line: words with a space in quotes. */
export const commandText = ([path = "", ...words]: readonly string[]): string =>
  [path, ...words.map((word) => (word.includes(" ") ? `'${word}'` : word))].join(" ");

/** At most so many characters, the last of which says that there were more. */
export function shortened(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}
