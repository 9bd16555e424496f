/**
 * The service of systemd that starts containers with the machine, and ends them with it.
 * @module
 * @see systemd.service(5), systemd.syntax(7)
 */
import { checkOptions } from "../options/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { findSelf } from "../launch/index.ts";

export interface UnitOptions {
  /** How tsbox is called. */
  command: string[];
  /** Where all is kept. */
  root: string;
  /** One of a user's own service manager. */
  user: boolean;
}

/** @throws TsboxError `unsupported` where there is no tsbox to call */
export function bootUnit(root: string, options: { user?: boolean } = {}): string {
  checkOptions("bootUnit", options, { user: "flag" });
  const { user = false } = options;
  const command = findSelf();
  if (command) return unitOf({ command, root, user });
  throw new TsboxError("write a unit: there is no tsbox that it could call", {
    code: "unsupported",
    hint: "put the binary into a directory of PATH",
  });
}

/** Pure. */
export function unitOf({ command, root, user }: UnitOptions): string {
  const line = (...words: string[]) => [...command, "--root", root, ...words].map(quoted).join(" ");
  const network = user ? [] : ["Wants=network-online.target", "After=network-online.target local-fs.target"];
  return [
    "[Unit]",
    "Description=Containers of tsbox that are to run",
    ...network,
    `RequiresMountsFor=${quoted(root)}`,
    "",
    "[Service]",
    "Type=oneshot",
    "RemainAfterExit=yes",
    // their groups are made beside that of the service
    "Delegate=yes",
    `ExecStart=${line("system", "boot")}`,
    `ExecStop=${line("system", "halt")}`,
    // each container has a time of its own
    "TimeoutStopSec=infinity",
    "",
    "[Install]",
    `WantedBy=${user ? "default.target" : "multi-user.target"}`,
    "",
  ].join("\n");
}

/** As the service manager reads it: `%` and `$` stand for something there. */
function quoted(word: string): string {
  const escaped = word.replaceAll("%", "%%").replaceAll("$", "$$$$");
  if (/^[\w@+=:,./%$-]+$/.test(escaped)) return escaped;
  return `"${escaped.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}
