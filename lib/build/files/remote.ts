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
}

const UNNAMED = "__unnamed__";
/** `user@host:path`, as ssh(1) has it. */
const SCP = /^[\w.-]+@[\w.-]+:[^:].*$/;
const GIT_SCHEMES = ["git:", "ssh:", "git+https:", "git+http:", "git+ssh:"];

/**
 * `https://host/x.tar.gz`, `https://host/x.git#branch:directory`, `git@host:x.git`, `git://…`, `ssh://…`; undefined for
 * what is a path.
 * @throws TsboxError `invalid_option`
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

/** By ssh, as an address, or as ssh(1) has it. */
export const isSsh = (url: string): boolean => /^ssh:/i.test(url) || SCP.test(url);

/** For messages, and to be kept: without a user and a password, which are nobody else's. */
export const withoutCredentials = (url: string): string => url.replace(/^(https?:\/\/)[^/?#]*@/i, "$1");

function repository(url: string, fragment: string | undefined, text: string): Repository {
  const [ref = "", subdirectory = ""] = cut(fragment ?? "", ":");
  if (/^-|[\0\s\\]|\.\.|^\/|[~^:?*[]/.test(ref))
    throw new TsboxError(`use ${show(withoutCredentials(text))}: ${show(ref)} is no branch, tag or commit`, {
      code: "invalid_option",
    });
  if (url.startsWith("-") || /[\0\s]/.test(url))
    throw new TsboxError(`use ${show(withoutCredentials(text))}: not understood`, { code: "invalid_option" });
  return { kind: "git", url, ...(ref === "" ? {} : { ref }), ...(subdirectory === "" ? {} : { subdirectory }) };
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
