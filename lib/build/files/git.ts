/**
 * Git repositories as contexts and for ADD: a commit of one, checked out by git itself. The repository is not trusted: no
 * hook, filter, helper or configuration of anybody's takes part, and nothing is fetched but by https, http, ssh and git.
 * @module
 * @see git-config(1) protocol.allow, https://git-scm.com/docs/git#Documentation/git.txt-codeGITCONFIGNOSYSTEMcode
 */
import type { ChildProcess } from "node:child_process";
import { Directory, kindOfPath, removeTree, show, TsboxError } from "../../../syscalls/index.ts";
import { addressOf, type Reaches } from "./reach.ts";
import { isCommit, isSsh, withoutCredentials, type Repository } from "./remote.ts";

export interface CloneOptions {
  /** An empty directory of the caller's own. */
  scratch: string;
  /** The commit that it has to be, or how that begins. */
  checksum?: string;
  keepGitDirectory?: boolean;
  ssh?: Ssh;
  /** Addresses that may be asked; default: all that this machine reaches. */
  reaches?: Reaches;
  /** The same of its submodules, where they are not of the same server. */
  modulesReach?: Reaches | undefined;
  signal?: AbortSignal;
}

/**
 * Who asks servers by ssh: the caller, as by their own settings and keys, or whoever has what an agent holds. Default:
 * nobody. A file that is built is not to ask as the caller for what only the caller may have.
 */
export type Ssh = "caller" | { agent: string };

/** Submodules are nowhere near as deep. */
const MAX_DEPTH = 100;
const CHECKOUT = "repository";
/** How one may begin: what git itself shows. */
const SHORT_COMMIT = /^[0-9a-f]{7,64}$/;

/** Of the caller's environment. */
const PASSED =
  "PATH SSL_CERT_FILE SSL_CERT_DIR http_proxy https_proxy no_proxy all_proxy HTTPS_PROXY NO_PROXY ALL_PROXY".split(" ");

const SETTINGS = [
  "protocol.allow=never",
  "protocol.https.allow=always",
  "protocol.http.allow=always",
  "protocol.git.allow=always",
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "core.attributesFile=/dev/null",
  "core.askPass=true",
  "credential.helper=",
  "gc.auto=0",
  "advice.detachedHead=false",
  "init.defaultBranch=main",
  "submodule.recurse=false",
  "fetch.fsckObjects=true",
  // a symlink in it leads nowhere when it is copied, but a path through one would when it is checked out
  "core.protectHFS=true",
  "core.protectNTFS=true",
];

/** @returns the directory. @throws TsboxError `download_failed`, `digest_mismatch`, `unsupported` without git */
export async function cloneRepository(repository: Repository, options: CloneOptions): Promise<string> {
  const { ref = "HEAD", subdirectory, submodules = true } = repository;
  const { scratch, ssh } = options;
  const { checksum = options.checksum, keepGitDirectory = options.keepGitDirectory ?? false } = repository;
  const url = withoutCredentials(repository.url);
  if (checksum !== (options.checksum ?? checksum))
    throw new TsboxError(`clone ${show(url)}: it is to be ${checksum}, and ${options.checksum}`, {
      code: "invalid_option",
    });
  if (isSsh(url) && ssh === undefined)
    throw new TsboxError(`clone ${show(url)}: it asks for the caller's SSH keys`, {
      code: "permission_denied",
      hint: "give it an agent: --ssh default",
    });
  const directory = `${scratch}/${CHECKOUT}`;
  Directory.make(directory, 0o755);
  const pin = options.reaches ? await pinOf(url, options.reaches) : [];
  const git = (...words: string[]) =>
    run(words, directory, options, { pin, credentials: credentialsOf(repository.url) });
  await git("init", "--quiet", "--template=");
  // what addresses of submodules are relative to
  await git("remote", "add", "--", "origin", url);
  let wanted = isCommit(ref) ? ref : "FETCH_HEAD";
  try {
    await git("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", url, ref);
  } catch (error) {
    if (!SHORT_COMMIT.test(ref) || (error instanceof TsboxError && error.code !== "download_failed")) throw error;
    // no name: a server that gives only what has one, or how a commit begins
    await git("fetch", "--quiet", "--no-recurse-submodules", "--", url, "+refs/*:refs/remote/*");
    wanted = ref;
  }
  await git("checkout", "--quiet", "--detach", "--force", wanted);
  const commit = (await git("rev-parse", "HEAD")).trim();
  if (checksum !== undefined && !(/^[0-9a-f]+$/.test(checksum) && commit.startsWith(checksum)))
    throw new TsboxError(`clone ${show(url)}: it should be ${checksum}, and is ${commit}`, { code: "digest_mismatch" });
  const hasModules =
    submodules &&
    (await fetchSubmodules({ directory, url }, pin, options, (at, ...words) =>
      run(words, at, options, { pin, credentials: credentialsOf(repository.url) }),
    ));
  const seconds = repository.mtime === "commit" ? Number(await git("show", "-s", "--format=%ct", "HEAD")) : undefined;
  using checkout = Directory.open(directory) as Directory;
  if (!keepGitDirectory) {
    removeTree(checkout, ".git");
    if (hasModules) removePointers(checkout);
  }
  if (seconds !== undefined) setTimes(checkout, seconds);
  return subdirectory === undefined ? directory : below(directory, subdirectory, url);
}

/** An address, and the directory that it is checked out in. */
interface Checkout {
  directory: string;
  url: string;
}

/**
 * Submodules, a level at a time: where they are is looked at before any of them is asked for.
 * @param pin gets what their servers are pinned by
 * @returns whether there are any
 */
async function fetchSubmodules(
  { directory, url }: Checkout,
  pin: string[],
  options: CloneOptions,
  git: (directory: string, ...words: string[]) => Promise<string>,
  depth = MAX_DEPTH,
): Promise<boolean> {
  if (kindOfPath(`${directory}/.gitmodules`) !== "file") return false;
  if (depth === 0) throw new TsboxError(`clone ${show(url)}: submodules without end`, { code: "download_failed" });
  const listed = await git(
    directory,
    "config",
    "-z",
    "-f",
    ".gitmodules",
    "--get-regexp",
    "^submodule\\..*\\.(path|url)$",
  );
  // what was cut off would not be looked at
  if (listed.length >= OUTPUT_BYTES)
    throw new TsboxError(`clone ${show(url)}: too many submodules`, { code: "download_failed" });
  const modules = modulesOf(listed);
  for (const module of modules) {
    module.url = resolved(url, module.url);
    const reaches = hostOf(module.url) === hostOf(url) ? options.reaches : (options.reaches ?? options.modulesReach);
    if (reaches) pin.push(...(await pinOf(module.url, reaches)));
  }
  await git(directory, "submodule", "--quiet", "update", "--init", "--depth=1");
  for (const { path, url: from } of modules)
    await fetchSubmodules({ directory: below(directory, path, from), url: from }, pin, options, git, depth - 1);
  return true;
}

/** `submodule.NAME.path` and `.url`, each with a line feed and its value, and a NUL. */
function modulesOf(listed: string): { path: string; url: string }[] {
  const modules = new Map<string, { path: string; url: string }>();
  for (const line of listed.split("\0")) {
    const at = line.indexOf("\n");
    const [, name, key] = /^submodule\.([^]*)\.(path|url)$/.exec(line.slice(0, at)) ?? [];
    if (name === undefined) continue;
    const module = modules.get(name) ?? { path: "", url: "" };
    module[key as "path" | "url"] = line.slice(at + 1);
    modules.set(name, module);
  }
  return [...modules.values()].filter(({ url, path }) => url !== "" && path !== "");
}

/** Scheme, host and port, or a host as ssh(1) has it. What git or curl may take for another host does not fit. */
const ADDRESS =
  /^(?:(git(?!:\/\/[^/]*@)|https?|ssh):\/\/(?:[^/?#@\\]*@)?(\[[\da-f:.]+\]|[\w.-]+)(?::(\d+))?\/|[\w.-]+@([\w.-]+):[^:])/i;

/** An address of .gitmodules, which may begin at that of the repository. @throws TsboxError `permission_denied` */
function resolved(url: string, written: string): string {
  const refused = (why: string) =>
    new TsboxError(`clone ${show(url)}: its submodule ${show(withoutCredentials(written))} ${why}`, {
      code: "permission_denied",
    });
  if (!/^\.\.?\//.test(written)) {
    if (ADDRESS.test(written)) return written;
    throw refused("is not at an address of https, http, git or ssh");
  }
  const [, server = "", path = ""] = /^([a-z+]+:\/\/[^/]*\/|[^:/]*:)(.*)$/i.exec(url) ?? [];
  const parts = path.split("/").filter((part) => part !== "");
  for (const part of written.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) throw refused("leads above its server");
    } else if (part !== "." && part !== "") parts.push(part);
  }
  return server + parts.join("/");
}

/** Undefined where that is not clear. */
function hostOf(url: string): string | undefined {
  const [, , host, , byScp] = ADDRESS.exec(url) ?? [];
  return (host ?? byScp)?.toLowerCase();
}

/** Of each submodule, a file that says where the rest of it is: nobody else may have such a name. */
function removePointers(directory: Directory, depth = MAX_DEPTH): void {
  if (directory.status(".git")?.kind === "file") directory.remove(".git");
  for (const name of depth > 0 ? directory.directories() : []) {
    using inner = directory.directory(name);
    if (inner) removePointers(inner, depth - 1);
  }
}

/** Of all that is checked out. */
function setTimes(directory: Directory, seconds: number, depth = MAX_DEPTH): void {
  for (const name of directory.directories()) {
    using inner = depth > 0 && name !== ".git" ? directory.directory(name) : undefined;
    if (inner) setTimes(inner, seconds, depth - 1);
  }
  for (const name of directory.names()) directory.setTime(name, seconds, 0);
}

/** A directory of the repository, which no symlink of it leads out of. */
function below(directory: string, subdirectory: string, url: string): string {
  let at: Directory | undefined = Directory.open(directory);
  let path = directory;
  for (const name of subdirectory.split("/").filter((part) => part !== "" && part !== ".")) {
    const next: Directory | undefined = name === ".." ? undefined : at?.directory(name);
    at?.[Symbol.dispose]();
    at = next;
    path += `/${name}`;
  }
  at?.[Symbol.dispose]();
  if (!at)
    throw new TsboxError(`clone ${show(url)}: it has no directory ${show(subdirectory)}`, { code: "file_not_found" });
  return path;
}

/** Settings by which the server is the one that was looked at, and does not send to others. */
async function pinOf(url: string, reaches: Reaches): Promise<string[]> {
  const [, scheme, named, port, byScp] = ADDRESS.exec(url) ?? [];
  const host = named ?? byScp;
  if (host === undefined)
    throw new TsboxError(`clone ${show(withoutCredentials(url))}: it is not clear which host that is`, {
      code: "permission_denied",
      hint: "https://host/path, git://host/path, ssh://user@host/path or user@host:path",
    });
  const address = await addressOf(host, url, reaches);
  const own = port ?? (scheme?.toLowerCase() === "http" ? "80" : "443");
  if (address === undefined) return ["http.followRedirects=false"];
  // who answers by ssh has a key to show; by this protocol anybody may
  if (scheme?.toLowerCase() === "git") {
    const [end, there] = [port === undefined ? "/" : `:${port}/`, address.includes(":") ? `[${address}]` : address];
    return [`url.git://${there}${end}.insteadOf=${scheme}://${host}${end}`];
  }
  return ["http.followRedirects=false", `http.curloptResolve=${host}:${own}:${address}`];
}

/**
 * What is in an address before its host is told to git by its environment: it stands neither in what `ps` shows to others,
 * nor in the repository's own configuration.
 */
function credentialsOf(url: string): Record<string, string> {
  const [, scheme, credentials, host] = /^(https?:\/\/)([^/?#]*@)([^/?#]*)/i.exec(url) ?? [];
  if (credentials === undefined) return {};
  return {
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: `url.${scheme}${credentials}${host}/.insteadOf`,
    GIT_CONFIG_VALUE_0: `${scheme}${host}/`,
  };
}

/** No file of settings, no key of a file; who a server is said to be still counts. */
const AGENT_ALONE = "ssh -F none -o IdentityFile=none -o ForwardAgent=no -o BatchMode=yes";

function sshOf(ssh: Ssh | undefined): Record<string, string> {
  if (ssh === undefined) return {};
  if (ssh !== "caller") return { SSH_AUTH_SOCK: ssh.agent, GIT_SSH_COMMAND: AGENT_ALONE };
  const { SSH_AUTH_SOCK: own } = process.env;
  return own === undefined ? {} : { SSH_AUTH_SOCK: own };
}

async function run(
  words: string[],
  directory: string,
  { scratch, ssh, signal }: CloneOptions,
  { pin, credentials }: { pin: string[]; credentials: Record<string, string> },
): Promise<string> {
  signal?.throwIfAborted();
  const { spawn } = process.getBuiltinModule("node:child_process");
  const own = [...SETTINGS, `protocol.ssh.allow=${ssh === undefined ? "never" : "always"}`];
  const settings = [...own, ...pin].flatMap((setting) => ["-c", setting]);
  const passed = PASSED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  const child = spawn("/bin/sh", ["-c", 'umask 022 && exec git "$@"', "git", ...settings, ...words], {
    cwd: directory,
    env: {
      PATH: "/usr/bin:/bin",
      ...Object.fromEntries(passed),
      ...sshOf(ssh),
      ...credentials,
      HOME: scratch,
      LC_ALL: "C",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_ATTR_NOSYSTEM: "1",
      GIT_TERMINAL_PROMPT: "0",
      GIT_CEILING_DIRECTORIES: scratch,
    },
    stdio: ["ignore", "pipe", "pipe"],
    // with those that it starts
    detached: true,
  });
  const stop = () => child.pid !== undefined && endGroup(child.pid);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const [stdout, stderr, code] = await Promise.all([textOf(child.stdout), textOf(child.stderr), ended(child)]);
    signal?.throwIfAborted();
    if (code === 0) return stdout;
    throw new TsboxError(`clone a repository: git ${words[0]}: ${stderr.trim().split("\n").at(-1)}`, {
      code: code === 127 ? "unsupported" : "download_failed",
      ...(code === 127 ? { hint: "git is not installed" } : {}),
    });
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // it has ended
  }
}

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.on("close", (code) => resolve(code ?? 128));
    child.on("error", reject);
  });

const OUTPUT_BYTES = 64 * 1024;

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of stream) if (text.length < OUTPUT_BYTES) text += decoder.decode(piece, { stream: true });
  return text;
}
