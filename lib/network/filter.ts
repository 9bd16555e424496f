/** Lists of networks. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { labelFits } from "../state/index.ts";
import type { NetworkRecord } from "./record.ts";

/** Docker's, each with the values of which one has to fit, and for labels all: `{ driver: ["bridge"] }`. */
export type NetworkFilters = Record<string, string[]>;

type Test = (network: NetworkRecord, value: string) => boolean;

const hasLabel: Test = ({ labels }, wanted) => labelFits(labels, wanted);

const TESTS: Record<string, Test> = {
  dangling: ({ endpoints }, value) => (Object.keys(endpoints).length === 0) === /^(1|t|true)$/i.test(value),
  driver: ({ driver }, value) => driver === value,
  id: ({ id }, value) => id.startsWith(value),
  name: ({ name }, value) => name.includes(value),
  scope: (_, value) => value === "local",
  type: ({ name }, value) => (name === "bridge" ? "builtin" : "custom") === value,
  label: hasLabel,
  "label!": (network, value) => !hasLabel(network, value),
  until: ({ created }, value) => created < Number(value),
};
const TOGETHER = ["label", "label!"];

/** @throws TsboxError `invalid_option` */
export function listed(networks: NetworkRecord[], filters: NetworkFilters): NetworkRecord[] {
  for (const name of Object.keys(filters)) {
    if (Object.hasOwn(TESTS, name)) continue;
    throw new TsboxError(`invalid filter '${name}'`, { code: "invalid_option", hint: Object.keys(TESTS).join(", ") });
  }
  return networks.filter((network) =>
    Object.entries(filters).every(([name, values]) => {
      const fits = (value: string) => (TESTS[name] as Test)(network, value);
      return values.length === 0 || (TOGETHER.includes(name) ? values.every(fits) : values.some(fits));
    }),
  );
}
