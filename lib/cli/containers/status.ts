/** Containers in words, as Docker's lists have them. @module */
import { toldStatus, type ContainerRecord } from "../../containers/index.ts";
import { humanDuration } from "../images/human.ts";

type Told = Pick<ContainerRecord, "status" | "startedAt" | "finishedAt" | "exitCode" | "health" | "restartDelay">;

const HEALTH = { starting: "health: starting", healthy: "healthy", unhealthy: "unhealthy" } as const;

/** `Up 3 minutes (healthy)`, `Exited (0) 2 hours ago`. @param now milliseconds since 1970 */
export function statusText(record: Told, now: number): string {
  const { startedAt, finishedAt, exitCode = 0, health } = record;
  const since = (time: number | undefined) => humanDuration(Math.max(0, now - (time ?? now)));
  switch (toldStatus(record)) {
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
    case "created":
      return "Created";
  }
}

/** As one line: words with a space in quotes. */
export const commandText = ([path = "", ...words]: readonly string[]): string =>
  [path, ...words.map((word) => (word.includes(" ") ? `'${word}'` : word))].join(" ");

/** At most so many characters, the last of which says that there were more. */
export function shortened(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}
