/** What is wrong with what a build was asked for, whatever its file says. @module */
import { checkKeys, invalid } from "../options/index.ts";
import { show } from "../../syscalls/index.ts";
import type { BuildOptions } from "./options.ts";
import { namesOf } from "./output.ts";

type Is = (value: unknown) => boolean;

const isText: Is = (value) => typeof value === "string" && !value.includes("\0");
const isFlag: Is = (value) => typeof value === "boolean";
const isObject: Is = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isWhole =
  (least: number, most: number): Is =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
const isList =
  (each: Is): Is =>
  (value) =>
    Array.isArray(value) && value.every(each);
const isRecord =
  (each: Is): Is =>
  (value) =>
    isObject(value) && Object.values(value as object).every(each);
const isOneOf =
  (...words: string[]): Is =>
  (value) =>
    words.some((word) => word === value);
const hasType =
  (...types: string[]): Is =>
  (value) =>
    isObject(value) && isOneOf(...types)((value as { type?: unknown }).type);

const isContext: Is = (value) => isText(value) || value instanceof Uint8Array || value instanceof ReadableStream;
/** `name:address`, `name=address` */
const isHost: Is = (value) => {
  const [, address = ""] = (isText(value) && /^[^:=\s]+[:=](\S+)$/.exec(value as string)) || [];
  return process.getBuiltinModule("node:net").isIP(address.replace(/^\[(.*)\]$/, "$1")) !== 0;
};
const RUN_SETTINGS = ["limits", "shmSize", "ulimits", "cgroupParent", "security"];
/** What is in it is looked at by `run-limits.ts`, where there is one. */
const isRun: Is = (value) =>
  isObject(value) && Object.keys(value as object).every((name) => RUN_SETTINGS.includes(name));
const isSecret: Is = (value) =>
  value instanceof Uint8Array || isText(Object(value)["file"]) || isText(Object(value)["env"]);

const FORMS: Record<keyof BuildOptions, [is: Is, form: string]> = {
  context: [isContext, "a directory, an archive, or a URL"],
  file: [isText, "a path"],
  dockerfile: [(value) => typeof value === "string" || isObject(value), "a text"],
  tags: [isList(isText), '["app:1"]'],
  contexts: [isRecord(isContext), '{ name: "./directory" }'],
  args: [isRecord(isText), '{ VERSION: "3" }'],
  labels: [isRecord(isText), '{ "made.by": "me" }'],
  target: [isText, "the name of a stage"],
  before: [isWhole(1, 10_000_000), "the number of a line"],
  platform: [isText, '"linux/arm64"'],
  pull: [isFlag, "true or false"],
  cache: [isFlag, "true or false"],
  noCacheFilter: [isList(isText), "names of stages"],
  secrets: [isRecord(isSecret), '{ id: bytes }, { id: { file: "path" } } or { id: { env: "NAME" } }'],
  ssh: [isRecord((value) => isText(value) || isList(isText)(value)), "the socket of an agent or files of keys, by id"],
  network: [isOneOf("default", "none", "host"), '"default", "none" or "host"'],
  allow: [isList(isOneOf("network.host", "security.insecure")), '["network.host", "security.insecure"]'],
  run: [isRun, '{ limits: { memory: "1g" } }'],
  addHosts: [isList(isHost), '["name:10.0.0.1"]'],
  squash: [isFlag, "true or false"],
  outputs: [isList(hasType("image", "local", "tar", "oci", "docker")), '[{ type: "image" }]'],
  cacheFrom: [isList(hasType("registry", "local")), '[{ type: "registry", reference: "name" }]'],
  cacheTo: [isList(hasType("registry", "local")), '[{ type: "registry", reference: "name" }]'],
  sourceDateEpoch: [isWhole(0, 0xffffffff), "seconds since 1970"],
  parallel: [isWhole(1, 1024), "1 to 1024"],
  onEvent: [(value) => typeof value === "function", "a function"],
  signal: [(value) => value instanceof AbortSignal, "an AbortSignal"],
};

/** @throws TsboxError `invalid_option`, `reference_invalid` */
export function checkBuild(options: BuildOptions): void {
  if (!isObject(options)) throw invalid(`build with ${show(options)}: not options`);
  checkKeys("build option", options, Object.keys(FORMS));
  for (const [name, value] of Object.entries(options)) {
    const [is, form] = FORMS[name as keyof BuildOptions];
    // what a secret is does not belong into a message
    const shown = name === "secrets" ? "" : ` ${show(value)}`;
    if (value !== undefined && !is(value)) throw invalid(`use the build option ${name}${shown}: not understood`, form);
  }
  const isPushed = options.outputs?.some((each) => each.type === "image" && each.push);
  if (namesOf(options).length === 0 && isPushed) throw invalid("push an image without a name", "name it");
}
