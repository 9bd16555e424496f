/** What callers hand over, as JavaScript lets them hand over anything. @module */
import { checkOptions, invalid, type Kind } from "../options/index.ts";
import { show } from "../../syscalls/index.ts";

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

/** @throws TsboxError `invalid_option` */
export function checkImageOptions(verb: keyof typeof VERBS, options: object): void {
  checkOptions<Record<string, unknown>>(`images.${verb}`, { ...options }, VERBS[verb]);
}

/** Names and ids of images. @throws TsboxError `invalid_option` */
export function checkNames(...names: unknown[]): void {
  for (const name of names)
    if (typeof name !== "string") throw invalid(`use the image ${show(name)}: not understood`, "its name, or its id");
}

/** A path; what else there is is told apart where it is read. @throws TsboxError `invalid_option` */
export function checkSource(source: unknown): void {
  if (typeof source === "string" && (source === "" || source.includes("\0")))
    throw invalid(`use the file ${show(source)}: not understood`, "its path");
}
