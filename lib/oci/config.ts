/**
 * A bundle's config.json: JSON of others, to a specification that can be relied on. Unknown fields are ignored; what is
 * known and wrong is an error that says where it stands.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md
 */
import { absolute, Directory, kindOfPath, realPath, statFile, TsboxError } from "../../syscalls/index.ts";
import { namespaceOf } from "../plan/index.ts";
import type { ContainerProcess, ContainerSpec, Resources } from "../spec/index.ts";
import { settleProcess, settleSpec, type Users, type Warn } from "./check-spec.ts";
import { withUsers } from "./default-users.ts";
import { parseJson } from "./json.ts";
import { Mismatch } from "../schema/index.ts";
import { processSchema, resourcesSchema, specSchema, variables } from "./spec-schema.ts";

const NAME = "config.json";
/** What engines write has 30 KiB. */
const LIMIT_BYTES = 4 * 1024 * 1024;

export interface Config {
  spec: ContainerSpec;
  /** What is in it and passed over. */
  warnings: string[];
}

/**
 * That of a bundle, whose root filesystem is there.
 *
 * @throws TsboxError `file_not_found`, `invalid_option`, `rootfs_not_found`
 */
export function readConfig(bundle: string): Config & { text: string } {
  const directory = realPath(bundle);
  using opened = directory === undefined ? undefined : Directory.open(directory);
  if (!opened || directory === undefined)
    throw new TsboxError(`open the bundle ${JSON.stringify(bundle)}: no such directory`, { code: "file_not_found" });
  const bytes = opened.read(NAME, LIMIT_BYTES, true);
  if (!bytes) {
    throw new TsboxError(`read the bundle ${JSON.stringify(bundle)}: JSON specification file ${NAME} not found`, {
      code: "file_not_found",
      hint: "tsbox oci spec writes one",
    });
  }
  const text = new TextDecoder().decode(bytes);
  const config = parseConfig(text, withUsers);
  checkRootfs(config.spec.root.path, directory);
  checkNetwork(config.spec);
  return { ...config, text };
}

/** @throws TsboxError `invalid_option` */
export function parseConfig(text: string, users: Users = ({ linux }) => linux): Config {
  const warnings: string[] = [];
  const spec = explained(NAME, () =>
    settleSpec(specSchema(parseJson(text, NAME)), (warning) => warnings.push(warning), users),
  );
  return { spec, warnings };
}

/** A `process` by itself, as `exec --process` takes it. @throws TsboxError `invalid_option` */
export const parseProcess = (text: string, warn: Warn): ContainerProcess =>
  explained("the process", () => settleProcess(processSchema(parseJson(text, "the process")), warn, ""));

/** One that is asked for in words, rather than by a file. @throws TsboxError `invalid_option` */
export function checkAsked<P extends ContainerProcess>(process: P, warn: Warn): P {
  return explained("the process", () => {
    variables(process.env);
    if (!process.cwd.startsWith("/"))
      throw new Mismatch(`cwd: Cwd must be an absolute path: ${JSON.stringify(process.cwd)}`);
    return { ...process, ...settleProcess(process, warn, "") };
  });
}

/** `resources` by themselves, as `update --resources` takes them. @throws TsboxError `invalid_option` */
export const parseResources = (text: string): Resources =>
  explained("the resources", () => resourcesSchema(parseJson(text, "the resources")));

function explained<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    const { where, why, hint } = error;
    throw new TsboxError(`read ${file}: ${where === "" ? "" : `${where}: `}${why}`, {
      code: "invalid_option",
      ...(hint !== undefined && { hint }),
    });
  }
}

/** A symlink in its path could be changed meanwhile, to lead to a directory of the host's. */
function checkRootfs(path: string, bundle: string): void {
  const rootfs = absolute(path, bundle);
  const fail = (why: string, hint?: string) =>
    new TsboxError(`use the rootfs ${JSON.stringify(rootfs)}: invalid rootfs: ${why}`, {
      code: "rootfs_not_found",
      path: rootfs,
      ...(hint !== undefined && { hint }),
    });
  const real = realPath(rootfs);
  if (real === undefined) throw fail("it is not there");
  if (real !== rootfs) throw fail("not an absolute path, or a symlink", `write root.path out: ${JSON.stringify(real)}`);
  if (kindOfPath(rootfs) !== "directory") throw fail("it is no directory");
}

/** A network namespace that is joined may be the host's, whose parameters are not the container's to set. */
function checkNetwork({ linux: { namespaces, sysctl = {} } }: ContainerSpec): void {
  const path = namespaces.find(({ type }) => type === "network")?.path;
  const name = Object.keys(sysctl).find((each) => namespaceOf(each) === "network");
  if (path === undefined || name === undefined) return;
  const [own, joined] = [statFile("/proc/self/ns/net"), statFile(path)];
  if (!joined || joined.inode !== own?.inode || joined.device.minor !== own.device.minor) return;
  throw new TsboxError(`set the sysctl ${JSON.stringify(name)}: not allowed in host network namespace`, {
    code: "invalid_option",
    hint: `${JSON.stringify(path)} is the namespace of the host`,
  });
}
