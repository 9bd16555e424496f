/**
 * Users and groups by name, as the root filesystem's own /etc/passwd and /etc/group know them. Those files are not
 * trusted: no symlink leads out of the root filesystem, and only so much is read.
 * @module
 * @see passwd(5), group(5)
 */
import { invalid } from "../options/index.ts";
import * as sys from "../../syscalls/index.ts";
import { Descriptors, show, TsboxError } from "../../syscalls/index.ts";
import { inLayers } from "./layers.ts";

export interface User {
  uid: number;
  gid: number;
  additionalGids: number[];
  home: string;
}

/** Where names are looked up: a directory, several that lie on each other, top first, or the text of the two files. */
export type Accounts = { directory: string } | { layers: readonly string[] } | { passwd: string; group: string };

export const MAX_ID = 2 ** 32 - 2;
const FORM = /^(?!$)([^:]*)(?::([^:]*))?$/;

/**
 * @param user `"uid"`, `"uid:gid"`, `"name"`, `"name:group"`, `":gid"` of root; a group that is given is the only one
 * @throws TsboxError `invalid_option`, `user_not_found`
 */
export function findUser(user: string, accounts: Accounts): User {
  const [, given, group] = FORM.exec(user) ?? [];
  if (given === undefined)
    throw invalid(`use the user ${show(user)}: not understood`, '"uid", "uid:gid", "name" or "name:group"');
  // as Docker's: what is left out is as if nothing was said
  const [name, groupName] = [given || "0", group || undefined];
  let lines: string[][] | undefined;
  const passwd = () => (lines ??= records(accounts, "passwd"));
  const id = numeric(name);
  // nothing has to be read for the most usual ones
  const known =
    id === 0 && groupName !== undefined
      ? undefined
      : passwd().find(([login, , uid]) => (id === undefined ? login === name : Number(uid) === id));
  if (!known && id === undefined) throw notFound("user", name);
  const uid = id ?? idOf(known?.[2]);
  const home = known?.[5] || (uid === 0 ? "/root" : "/");
  if (groupName !== undefined) return { uid, gid: findGroup(groupName, accounts), additionalGids: [], home };
  return {
    uid,
    gid: known ? idOf(known[3]) : 0,
    additionalGids: known ? groupsOf(known[0] ?? "", accounts) : [],
    home,
  };
}

/** The home directory of a user; "/" where the accounts do not know it. */
export const homeOf = (uid: number, accounts: Accounts): string =>
  records(accounts, "passwd").find(([, , id]) => id === String(uid))?.[5] || "/";

/** @throws TsboxError `invalid_option`, `user_not_found` */
export function findGroup(name: string, accounts: Accounts): number {
  const id = numeric(name);
  if (id !== undefined) return id;
  const known = records(accounts, "group").find(([group]) => group === name);
  if (!known) throw notFound("group", name);
  return idOf(known[2]);
}

function groupsOf(login: string, accounts: Accounts): number[] {
  const gids = records(accounts, "group").flatMap(([, , gid, members]) =>
    (members ?? "").split(",").includes(login) ? [idOf(gid)] : [],
  );
  return [...new Set(gids)];
}

function numeric(text: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  if (Number(text) > MAX_ID) throw invalid(`use the id ${text}: above ${MAX_ID}`);
  return Number(text);
}

function idOf(field: string | undefined): number {
  const id = numeric(field ?? "");
  if (id === undefined) throw invalid(`use an id of the root filesystem's accounts: ${show(field)} is not a number`);
  return id;
}

const notFound = (kind: string, name: string) =>
  new TsboxError(`use the ${kind} ${show(name)}: not known inside the root filesystem`, {
    code: "user_not_found",
    hint: `its /etc/${kind === "user" ? "passwd" : "group"} has no such line; a number works without`,
  });

function records(accounts: Accounts, file: "passwd" | "group"): string[][] {
  return textOf(accounts, file)
    .split("\n")
    .flatMap((line) => (line.includes(":") ? [line.split(":")] : []));
}

function textOf(accounts: Accounts, file: "passwd" | "group"): string {
  if ("layers" in accounts)
    return inLayers(accounts.layers, `etc/${file}`, ({ fd }, name) => readBeginning(fd, name)) ?? "";
  if (!("directory" in accounts)) return accounts[file];
  using opened = new Descriptors();
  return readBeginning(opened.add(sys.open(accounts.directory, sys.O_PATH | sys.O_DIRECTORY)), `etc/${file}`);
}

/** The first 64 KiB; nothing where there is no such regular file. */
function readBeginning(root: number, file: string): string {
  const fd = sys.openInRoot(root, file);
  if (fd < 0) return "";
  const bytes = sys.read(fd);
  sys.close(fd);
  return typeof bytes === "number" ? "" : new TextDecoder().decode(bytes);
}
