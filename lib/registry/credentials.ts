/**
 * Credentials as Docker and the tools of containers/ keep them: in `config.json` and `auth.json`, or in the programs
 * that these name.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/login/#credential-stores, containers-auth.json(5)
 */
import { DEFAULT_DOMAIN } from "../image/index.ts";
import { absolute, Directory, effectiveUid, realPath, show, TsboxError } from "../../syscalls/index.ts";
import type { Credentials } from "./authorizer.ts";
import { CredentialHelper } from "./credential-helper.ts";

/** What Docker calls its own registry in there. */
const DEFAULT_SERVER = "https://index.docker.io/v1/";
const MAX_FILE_BYTES = 2 ** 20;

interface Entry {
  auth?: unknown;
  username?: unknown;
  password?: unknown;
  identitytoken?: unknown;
  registrytoken?: unknown;
}

interface Config {
  auths?: Record<string, Entry>;
  credsStore?: unknown;
  credHelpers?: Record<string, unknown>;
}

type Environment = Readonly<Record<string, string | undefined>>;

export class CredentialFiles {
  readonly #environment: Environment;

  constructor(environment: Environment = process.env) {
    this.#environment = environment;
  }

  /** Where `store` writes. */
  get file(): string {
    const { REGISTRY_AUTH_FILE, DOCKER_CONFIG } = this.#environment;
    if (REGISTRY_AUTH_FILE) return absolute(REGISTRY_AUTH_FILE);
    return absolute(`${DOCKER_CONFIG || `${this.#home()}/.docker`}/config.json`);
  }

  /** In the order in which they are read. A file that was named is the only one. */
  files(): string[] {
    const { REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME } = this.#environment;
    if (REGISTRY_AUTH_FILE) return [this.file];
    // where podman keeps them without such a directory
    const runtime = XDG_RUNTIME_DIR ? `${XDG_RUNTIME_DIR}/containers` : `/run/containers/${effectiveUid()}`;
    return [this.file, `${runtime}/auth.json`, `${XDG_CONFIG_HOME || `${this.#home()}/.config`}/containers/auth.json`];
  }

  #home(): string {
    return this.#environment["HOME"] || process.getBuiltinModule("node:os").homedir();
  }

  /** For a registry, or a repository of it. @throws TsboxError where a file or a helper cannot be used */
  async find(domain: string, path = ""): Promise<Credentials | undefined> {
    for (const file of this.files()) {
      const config = readConfig(file);
      const helper = config && helperFor(config, domain);
      const found = (await helper?.get(serverOf(domain))) ?? (config && entryFor(config, domain, path));
      if (found) return found;
    }
    return undefined;
  }

  /** Another file than that which `store` writes, with some for a registry: of podman, for instance. */
  findElsewhere(domain: string): string | undefined {
    return this.files()
      .slice(1)
      .find((file) => entryFor(readConfig(file) ?? {}, domain, "") !== undefined);
  }

  /** @returns the program that keeps them, or the file that they now stand in for everybody to read who may read it */
  async store(domain: string, credentials: Credentials): Promise<{ helper: string } | { file: string }> {
    Directory.make(placeOf(this.file)[0], 0o700);
    return alone(this.file, () => this.#store(domain, credentials));
  }

  async #store(domain: string, credentials: Credentials): Promise<{ helper: string } | { file: string }> {
    const config = readConfig(this.file) ?? {};
    const helper = helperFor(config, domain);
    // docker keeps an empty entry for what is elsewhere, and lists those
    await helper?.store(serverOf(domain), credentials);
    const rest = Object.entries(config.auths ?? {}).filter(([key]) => domainOf(key) !== domain);
    const key = this.#environment["REGISTRY_AUTH_FILE"] ? domain : serverOf(domain);
    writeConfig(this.file, {
      ...config,
      auths: { ...Object.fromEntries(rest), [key]: helper ? {} : entryOf(credentials) },
    });
    return helper ? { helper: helper.program } : { file: this.file };
  }

  /** @returns whether there was anything to erase */
  erase(domain: string): Promise<boolean> {
    return alone(this.file, () => this.#erase(domain));
  }

  async #erase(domain: string): Promise<boolean> {
    const config = readConfig(this.file);
    if (!config) return false;
    const erased = (await helperFor(config, domain)?.erase(serverOf(domain))) ?? false;
    const entries = Object.entries(config.auths ?? {});
    const rest = entries.filter(([key]) => domainOf(key) !== domain);
    if (rest.length === entries.length) return erased;
    writeConfig(this.file, { ...config, auths: Object.fromEntries(rest) });
    return true;
  }
}

const serverOf = (domain: string): string => (domain === DEFAULT_DOMAIN ? DEFAULT_SERVER : domain);

/** The registry that a key is about, not a part of it: `https://host/v1/`, `host`; Docker's has several names. */
function domainOf(key: string): string | undefined {
  const [, host = "", path = ""] = /^(?:https?:\/\/)?([^/]*)(.*)$/.exec(key) ?? [];
  if (!/^(?:\/|\/v[12]\/?)?$/.test(path)) return undefined;
  return /^(?:index\.docker\.io|registry-1\.docker\.io|docker\.io)$/.test(host) ? DEFAULT_DOMAIN : host;
}

function helperFor(config: Config, domain: string): CredentialHelper | undefined {
  const [, own] = Object.entries(config.credHelpers ?? {}).find(([key]) => domainOf(key) === domain) ?? [];
  const name = own ?? config.credsStore;
  return typeof name === "string" && name !== "" ? new CredentialHelper(name) : undefined;
}

/** The entry of the longest part of the name that has one. */
function entryFor({ auths = {} }: Config, domain: string, path: string): Credentials | undefined {
  const parts = path === "" ? [] : path.split("/");
  for (let length = parts.length; length > 0; length--) {
    const found = credentialsOf(auths[`${domain}/${parts.slice(0, length).join("/")}`]);
    if (found) return found;
  }
  const exact = [serverOf(domain), domain].filter((key) => Object.hasOwn(auths, key));
  const others = Object.keys(auths).filter((key) => domainOf(key) === domain);
  for (const key of [...exact, ...others]) {
    const found = credentialsOf(auths[key]);
    if (found) return found;
  }
  return undefined;
}

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

function credentialsOf(entry: Entry | undefined): Credentials | undefined {
  const { auth, identitytoken, registrytoken } = Object(entry) as Entry;
  const decoded = Buffer.from(textOf(auth) ?? "", "base64")
    .toString()
    .replace(/\0+$/, "");
  const colon = decoded.indexOf(":");
  const username = colon < 0 ? textOf(entry?.username) : decoded.slice(0, colon);
  const password = colon < 0 ? textOf(entry?.password) : decoded.slice(colon + 1);
  const [identityToken, registryToken] = [textOf(identitytoken), textOf(registrytoken)];
  if (identityToken !== undefined) return { ...(username ? { username } : {}), identityToken };
  if (registryToken !== undefined) return { registryToken };
  return username !== undefined && password !== undefined ? { username, password } : undefined;
}

function entryOf({ username = "", password = "", identityToken }: Credentials): Entry {
  const auth = Buffer.from(`${username}:${identityToken === undefined ? password : ""}`).toString("base64");
  return { auth, ...(identityToken === undefined ? {} : { identitytoken: identityToken }) };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Undefined where there is none. It may be a symlink, as of those who keep theirs elsewhere. */
function readConfig(file: string): Config | undefined {
  const [directory, name] = placeOf(file);
  using open = openIfAllowed(directory);
  const bytes = open?.read(name, MAX_FILE_BYTES);
  // created, but not yet written to
  if (!bytes || bytes.length === 0) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // said below
  }
  const { auths, credHelpers } = Object(value) as Config;
  if (isObject(value) && [auths ?? {}, credHelpers ?? {}].every(isObject)) return value as Config;
  throw new TsboxError(`read ${show(file)}: not what docker login writes`, { code: "invalid_option", path: file });
}

/** Where podman of root's has run, /run/containers is root's alone. */
function openIfAllowed(path: string): Directory | undefined {
  const EACCES = 13;
  try {
    return Directory.open(path);
  } catch (error) {
    if (error instanceof TsboxError && error.errno === EACCES) return undefined;
    throw error;
  }
}

/** All else that stands in it stays. */
function writeConfig(file: string, config: Config): void {
  const [directory, name] = placeOf(file);
  using open = Directory.open(directory);
  if (!open) throw new TsboxError(`write ${show(file)}: no directory`, { code: "permission_denied", path: file });
  open.replace(name, new TextEncoder().encode(`${JSON.stringify(config, null, "\t")}\n`), 0o600);
}

/** Of waiting for others; those who keep it longer wait for a helper, and may be asking somebody. */
const [LOCK_MS, AGAIN_MS] = [10_000, 5];

/** Of those who change a file at the same time, one after the other, so that no entry gets lost. */
async function alone<T>(file: string, work: () => Promise<T>): Promise<T> {
  using directory = Directory.open(placeOf(file)[0]);
  for (const end = performance.now() + LOCK_MS; directory && !directory.tryLock() && performance.now() < end;)
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  try {
    return await work();
  } finally {
    directory?.unlock();
  }
}

/** The directory and the name that a path leads to. */
function placeOf(file: string): [directory: string, name: string] {
  const slash = (path: string): [string, string] => {
    const at = path.lastIndexOf("/");
    return [path.slice(0, at) || "/", path.slice(at + 1)];
  };
  const real = realPath(file);
  if (real !== undefined) return slash(real);
  const [directory, name] = slash(file);
  return [realPath(directory) ?? directory, name];
}
