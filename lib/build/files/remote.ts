/** What is not here: files to be downloaded, and git repositories, as they are written for ADD and as contexts. @module */
import { show, TsboxError } from "../../../syscalls/index.ts";

export interface RemoteFile {
  kind: "http";
  url: URL;
  /** What the file is called. */
  name: string;
}

export interface Repository {
  kind: "git";
  url: string;
  /** A branch, a tag, or a commit; default what the repository says. */
  ref?: string;
  /** A directory in it. */
  subdirectory?: string;
  /** The commit that it has to be, or how that begins. */
  checksum?: string;
  /** Whether `.git` stays; default: as the caller says. */
  keepGitDirectory?: boolean;
  /** Default: they come along. */
  submodules?: boolean;
  /** Files are as old as the commit; default: as their checkout. */
  mtime?: "commit" | "checkout";
}

const UNNAMED = "__unnamed__";
/** `user@host:path`, as ssh(1) has it. */
const SCP = /^[\w.-]+@[\w.-]+:[^:].*$/;
const GIT_SCHEMES = ["git:", "ssh:", "git+https:", "git+http:", "git+ssh:"];

/**
 * `https://host/x.tar.gz`, `https://host/x.git#branch:directory`, `https://host/x.git?branch=main&subdir=directory`,
 * `git@host:x.git`, `git://…`, `ssh://…`; undefined for what is a path.
 * @throws TsboxError `invalid_option`
 * @see https://docs.docker.com/build/concepts/context/#url-queries
 */
export function remoteOf(text: string): RemoteFile | Repository | undefined {
  if (SCP.test(text)) return repository(...cut(text, "#"), text);
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  if (!url || (!isHttp && !GIT_SCHEMES.includes(url.protocol)))
    throw new TsboxError(`use ${show(withoutCredentials(text))}: not understood`, {
      code: "invalid_option",
      hint: "http, https, git and ssh are known",
    });
  if (!isHttp || url.pathname.endsWith(".git")) {
    const [address, fragment] = cut(text, "#");
    return repository(address.replace(/^git\+/i, ""), fragment, text);
  }
  const name = decoded(url.pathname.split("/").findLast((part) => part !== "") ?? "");
  return { kind: "http", url, name: name === "" || /^\.{1,2}$|[/\0]/.test(name) ? UNNAMED : name };
}

/** The name of one, and not only how that begins. */
export const isCommit = (ref: string): boolean => /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/.test(ref);

/** By ssh, as an address, or as ssh(1) has it. */
export const isSsh = (url: string): boolean => /^ssh:/i.test(url) || SCP.test(url);

/** For messages, and to be kept: without a user and a password, which are nobody else's. */
export const withoutCredentials = (url: string): string => url.replace(/^((?:git\+)?https?:\/\/)[^/?#]*@/i, "$1");

function repository(address: string, fragment: string | undefined, text: string): Repository {
  const refused = (why: string, hint?: string) =>
    new TsboxError(`use ${show(withoutCredentials(text))}: ${why}`, {
      code: "invalid_option",
      ...(hint === undefined ? {} : { hint }),
    });
  const [url, query] = cut(address, "?");
  const [ref, subdirectory] = cut(fragment ?? "", ":");
  const { checksum, byCommit = false, ...asked } = queryOf(query, refused);
  const found = {
    ref: onlyOne("ref", [ref, asked.ref], refused),
    subdirectory: onlyOne("directory", [subdirectory, asked.subdirectory], refused),
  };
  if (found.ref !== undefined && /^-|[\0\s\\]|\.\.|^\/|[~^:?*[]/.test(found.ref))
    throw refused(`${show(found.ref)} is no branch, tag or commit`);
  if (url.startsWith("-") || /[\0\s]/.test(url)) throw refused("not understood");
  if (checksum !== undefined && !/^[0-9a-f]{1,64}$/.test(checksum)) throw refused(`${show(checksum)} is no commit`);
  if (byCommit) {
    if (checksum === undefined || !isCommit(checksum))
      throw refused("fetch-by-commit is without a whole commit", "commit=, and all of its 40 digits");
    // that it is a part of the branch or tag is not looked at
    found.ref = checksum;
  }
  const { keepGitDirectory, submodules, mtime } = asked;
  return { kind: "git", url, ...defined({ ...found, checksum, keepGitDirectory, submodules, mtime }) };
}

const FLAGS = ["keep-git-dir", "submodules", "fetch-by-commit"];
const QUERIES = ["ref", "tag", "branch", "subdir", "checksum", "commit", "mtime", ...FLAGS];
type Refused = (why: string, hint?: string) => TsboxError;

interface Asked extends Partial<Omit<Repository, "kind" | "url">> {
  byCommit?: boolean;
}

/** What stands behind `?`, each at most once. */
function queryOf(query: string | undefined, refused: Refused): Asked {
  const given = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query ?? "")) {
    if (!QUERIES.includes(name)) throw refused(`the query ${show(name)} is unknown`, QUERIES.join(", "));
    if (given.has(name)) throw refused(`the query ${name} is there twice`);
    if (value === "" && !FLAGS.includes(name)) throw refused(`the query ${name} is empty`);
    given.set(name, value);
  }
  const named = (prefix: string, name: string | undefined) =>
    name === undefined || name.startsWith(prefix) ? name : prefix + name;
  const isSet = (name: string): boolean | undefined => {
    const value = given.get(name);
    if (value === undefined) return undefined;
    if (/^(?:1|t|true)?$/i.test(value)) return true;
    if (/^(?:0|f|false)$/i.test(value)) return false;
    throw refused(`the query ${name} is ${show(value)}, and neither true nor false`);
  };
  const mtime = given.get("mtime");
  if (mtime !== undefined && mtime !== "commit" && mtime !== "checkout")
    throw refused(`the query mtime is ${show(mtime)}`, "commit or checkout");
  const refs = [given.get("ref"), named("refs/tags/", given.get("tag")), named("refs/heads/", given.get("branch"))];
  return defined({
    mtime,
    byCommit: isSet("fetch-by-commit"),
    ref: onlyOne("ref", refs, refused),
    subdirectory: given.get("subdir"),
    checksum: onlyOne("commit", [given.get("checksum"), given.get("commit")], refused),
    keepGitDirectory: isSet("keep-git-dir"),
    submodules: isSet("submodules"),
  });
}

/** Said in several places, but the same. */
function onlyOne(what: string, values: readonly (string | undefined)[], refused: Refused): string | undefined {
  const [first, second] = new Set(values.filter((value) => value !== undefined && value !== ""));
  if (second !== undefined) throw refused(`it has the ${what} ${show(first)}, and ${show(second)}`);
  return first;
}

function defined<T extends object>(values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof defined<T>
  >;
}

function cut(text: string, at: string): [string, string | undefined] {
  const index = text.indexOf(at);
  return index < 0 ? [text, undefined] : [text.slice(0, index), text.slice(index + 1)];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
