/**
 * Which events a filter means: of one name's values one has to fit, of labels all.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/system/events/#filter
 */
import { TsboxError } from "../../syscalls/index.ts";
import { labelFits } from "../state/index.ts";
import type { ContainerEvent } from "./record.ts";

type Fits = (event: ContainerEvent, value: string) => boolean;

const ID = /^[0-9a-f]{1,64}$/;

const of =
  (type: ContainerEvent["type"]): Fits =>
  ({ type: own, id, attributes }, value) =>
    own === type && (id === value || attributes["name"] === value || (ID.test(value) && id.startsWith(value)));

const TESTS: Record<string, Fits> = {
  container: of("container"),
  volume: of("volume"),
  network: of("network"),
  image: ({ type, id, attributes: { image = "" } }, value) => {
    const name = type === "image" ? id : image;
    return name === value || name.replace(/:[^:/]+$/, "") === value;
  },
  // "health_status: healthy" is one of "health_status", "exec_start: sh" of "exec_start"
  event: ({ action }, value) => action === value || action.startsWith(`${value}:`),
  type: ({ type }, value) => type === value,
  label: ({ attributes }, value) => labelFits(attributes, value),
  daemon: () => true,
  scope: (_, value) => value === "local",
};
const TOGETHER = ["label"];

/** @throws TsboxError `invalid_option` */
export function eventTest(filters: Record<string, string[]>): (event: ContainerEvent) => boolean {
  for (const name of Object.keys(filters)) {
    if (Object.hasOwn(TESTS, name)) continue;
    throw new TsboxError(`invalid filter '${name}'`, {
      code: "invalid_option",
      hint: `there are ${Object.keys(TESTS).join(", ")}`,
    });
  }
  return (event) =>
    Object.entries(filters).every(([name, values]) => {
      const fits = (value: string) => (TESTS[name] as Fits)(event, value);
      return values.length === 0 || (TOGETHER.includes(name) ? values.every(fits) : values.some(fits));
    });
}
