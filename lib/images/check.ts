/** What callers hand over, as JavaScript lets them hand over anything. @module */
import { checkOptions, invalid } from "../options/index.ts";
import { show } from "../../syscalls/index.ts";

type Kind = "text" | "texts" | "flag" | "object" | "signal" | "callback" | "moment";

const isText = (value: unknown): value is string => typeof value === "string";
const FITS: Record<Kind, { is: (value: unknown) => boolean; hint: string }> = {
  text: { is: isText, hint: "a string" },
  texts: { is: (value) => Array.isArray(value) && value.every(isText), hint: "an array of strings" },
  flag: { is: (value) => typeof value === "boolean", hint: "true or false" },
  object: { is: (value) => typeof value === "object" && value !== null, hint: "an object" },
  signal: { is: (value) => value instanceof AbortSignal, hint: "an AbortSignal" },
  callback: { is: (value) => typeof value === "function", hint: "a function" },
  moment: { is: (value) => isText(value) || value instanceof Date, hint: 'a Date, or a string: "24h"' },
};

const TRANSFER = { signal: "signal", onProgress: "callback" } as const;
const PULL = { ...TRANSFER, platform: "text", registry: "object" } as const;
const PUSH = { ...TRANSFER, registry: "object" } as const;
const MADE = { ...TRANSFER, reference: "text", changes: "texts", message: "text", author: "text" } as const;
const CHOSEN = { label: "texts", notLabel: "texts", until: "moment" } as const;
const VERBS = {
  pull: PULL,
  pullAll: PULL,
  push: PUSH,
  pushAll: PUSH,
  unpack: TRANSFER,
  save: { signal: "signal", format: "text", as: "texts" },
  load: { ...TRANSFER, platform: "text" },
  import: { ...MADE, platform: "text" },
  commit: { ...MADE, config: "object", createdBy: "text", upperIds: "object", exclude: "texts" },
  list: { ...CHOSEN, dangling: "flag", reference: "texts", before: "text", since: "text" },
  remove: { force: "flag" },
  prune: { ...CHOSEN, all: "flag" },
} as const satisfies Record<string, Readonly<Record<string, Kind>>>;

const refuse = (what: string, value: unknown, hint: string) =>
  invalid(`use the ${what} ${show(value)}: not understood`, hint);

/** @throws TsboxError `invalid_option` */
export function checkImageOptions(verb: keyof typeof VERBS, options: object): void {
  checkOptions(`images.${verb}`, options, VERBS[verb]);
  for (const [name, kind] of Object.entries(VERBS[verb])) {
    const value = (options as Record<string, unknown>)[name];
    if (value !== undefined && !FITS[kind].is(value)) throw refuse(`option "${name}"`, value, FITS[kind].hint);
  }
}

/** Names and ids of images. @throws TsboxError `invalid_option` */
export function checkNames(...names: unknown[]): void {
  for (const name of names) if (!isText(name)) throw refuse("image", name, "its name, or its id");
}

/** A path; what else there is is told apart where it is read. @throws TsboxError `invalid_option` */
export function checkSource(source: unknown): void {
  if (isText(source) && (source === "" || source.includes("\0"))) throw refuse("file", source, "its path");
}
