/** How tsbox is called again, by what is no JavaScript, or lasts longer than this program. @module */
import { access, runtime } from "../../syscalls/index.ts";
import type { Executed } from "../plan/index.ts";

/** What the caller's environment says of where things are; all else is for the caller. */
const PASSED = ["PATH", "HOME", "USER", "TZ", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS"] as const;
const [F_OK, X_OK] = [0, 1];

/** A verb, for a store. Undefined where this program is no tsbox, and there is none in PATH. */
export function callVerb(root: string, ...words: string[]): Executed | undefined {
  const command = findSelf();
  if (!command) return undefined;
  const env = PASSED.flatMap((name) => (process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`]));
  const args = [...command, ...words];
  return { file: command[0] as string, args, env: [...env, `TSBOX_ROOT=${root}`] };
}

/** The words that call it. */
export function findSelf(): string[] | undefined {
  // only what makes the binary puts something there
  if (import.meta.url.startsWith("file:///$bunfs/") && process.env.TSBOX_COMMIT !== undefined)
    return [process.execPath];
  const main = mainFile();
  const executable = runtime.executable()?.path;
  if (main && executable) return [executable, ...(runtime.name === "deno" ? ["run", "-A"] : []), main];
  const found = (process.env["PATH"] ?? "").split(":").find((path) => path !== "" && access(`${path}/tsbox`, X_OK));
  return found === undefined ? undefined : [`${found}/tsbox`];
}

/** Of the sources; in a binary there are none. */
function mainFile(): string | undefined {
  const { protocol, pathname } = new URL("../cli/main.ts", import.meta.url);
  const file = decodeURIComponent(pathname);
  return protocol === "file:" && access(file, F_OK) ? file : undefined;
}
