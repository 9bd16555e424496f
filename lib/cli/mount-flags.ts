/**
 * `--volume`, `--mount`, `--tmpfs` and `--device`, in Docker's syntax.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/container/run/#mount
 */
import type { BindMount, DeviceOption, MountOption, Propagation } from "../index.ts";
import { absolute } from "../sandbox/index.ts";
import { invalid } from "./invalid.ts";

const VOLUME_HINT = '"/source:/target" or "./source:/target", and ":ro" for read-only';
const PROPAGATION: readonly string[] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
const SELINUX = "labels of SELinux are not changed; a bound directory keeps its own";

/** @param cwd what relative sources begin at */
export function volume(text: string, cwd: string): MountOption {
  const [source = "", target, mode, ...more] = text.split(":");
  if (target === undefined) throw invalid("--volume", text, "anonymous volumes are not supported yet", VOLUME_HINT);
  if (source === "" || target === "" || more.length > 0) throw invalid("--volume", text, "not understood", VOLUME_HINT);
  if (source.startsWith("~")) {
    throw invalid("--volume", text, "~ is the shell's, and only at the start of a word", 'write "$HOME/..."');
  }
  if (!/^[./]/.test(source)) {
    throw invalid("--volume", text, "named volumes are not supported yet", `for a directory: "./${source}:${target}"`);
  }
  const words = mode === undefined ? [] : mode.split(",");
  const made: BindMount = { type: "bind", source: absolute(source, cwd), target, readOnly: words.includes("ro") };
  for (const word of words) {
    if (word === "z" || word === "Z") throw invalid("--volume", text, `"${word}" is not supported`, SELINUX);
    if (PROPAGATION.includes(word)) made.propagation = word as Propagation;
    else if (word !== "ro" && word !== "rw")
      throw invalid("--volume", text, `unknown option "${word}"`, `ro, rw, ${PROPAGATION.join(", ")}`);
  }
  if (words.includes("ro") && words.includes("rw")) throw invalid("--volume", text, "both ro and rw");
  return made;
}

export function tmpfs(text: string): MountOption {
  const [, target = "", words] = /^([^:]*)(?::([^]*))?$/.exec(text) ?? [];
  const made: MountOption = { type: "tmpfs", target };
  for (const word of words === undefined ? [] : words.split(",")) {
    const [, name, value] = /^([^=]*)(?:=([^]*))?$/.exec(word) ?? [];
    if (word === "ro") made.readOnly = true;
    else if (word === "noexec") made.noExec = true;
    else if (name === "size" && value) made.size = value;
    else if (name === "mode" && value && /^[0-7]{3,4}$/.test(value)) made.mode = Number.parseInt(value, 8);
    else if (!TMPFS_USUAL.has(word)) {
      throw invalid(
        "--tmpfs",
        text,
        `unknown option "${word}"`,
        "size=64m, mode=1777, ro, noexec; always nosuid, nodev",
      );
    }
  }
  return made;
}
/** What it is like without a word. */
const TMPFS_USUAL = new Set(["rw", "exec", "nosuid", "nodev"]);

/** Names that mean the same. */
const ALIASES: Record<string, string> = { src: "source", dst: "target", destination: "target", ro: "readonly" };
const KEYS: Record<string, readonly string[]> = {
  bind: ["type", "source", "target", "readonly", "bind-propagation", "bind-recursive", "bind-create-src"],
  tmpfs: ["type", "target", "readonly", "tmpfs-size", "tmpfs-mode"],
};

export function mount(text: string, cwd: string): MountOption {
  const fields = new Map<string, string | undefined>();
  for (const field of csvFields(text)) {
    const [, word = "", value] = /^([^=]*)(?:=([^]*))?$/.exec(field) ?? [];
    const name = ALIASES[word] ?? word;
    if (fields.has(name)) throw invalid("--mount", text, `"${word}" twice`);
    fields.set(name, value);
  }
  const type = fields.get("type") ?? "volume";
  const keys = Object.hasOwn(KEYS, type) ? KEYS[type] : undefined;
  if (!keys) {
    const why = type === "volume" ? "volumes are not supported yet" : `the type "${type}" is not supported`;
    throw invalid("--mount", text, why, "type=bind,source=…,target=… or type=tmpfs,target=…");
  }
  const unknown = [...fields.keys()].find((name) => !keys.includes(name));
  if (unknown !== undefined)
    throw invalid("--mount", text, `unknown option "${unknown}" of type=${type}`, keys.join(", "));
  const required = (name: string): string => {
    const value = fields.get(name);
    if (!value) throw invalid("--mount", text, `no ${name}`);
    return value;
  };
  return type === "bind"
    ? bindMount(text, fields, absolute(required("source"), cwd), required("target"))
    : tmpfsMount(text, fields, required("target"));
}

type Fields = ReadonlyMap<string, string | undefined>;

function bindMount(text: string, fields: Fields, source: string, target: string): MountOption {
  const made: BindMount = { type: "bind", source, target, readOnly: flag(text, fields, "readonly") };
  if (flag(text, fields, "bind-create-src")) made.create = true;
  const propagation = fields.get("bind-propagation");
  if (propagation !== undefined) {
    if (!PROPAGATION.includes(propagation))
      throw invalid("--mount", text, `unknown bind-propagation "${propagation}"`, PROPAGATION.join(", "));
    made.propagation = propagation as Propagation;
  }
  const recursive = fields.get("bind-recursive") ?? "enabled";
  if (recursive === "disabled") made.recursive = false;
  else if (recursive === "writable") made.recursive = "writable";
  // what is read-only is so all the way down, or it is an error
  else if (recursive === "readonly" && !made.readOnly)
    throw invalid("--mount", text, "bind-recursive=readonly without readonly");
  else if (recursive !== "enabled" && recursive !== "readonly")
    throw invalid("--mount", text, `unknown bind-recursive "${recursive}"`, "enabled, disabled, writable, readonly");
  return made;
}

function tmpfsMount(text: string, fields: Fields, target: string): MountOption {
  const made: MountOption = { type: "tmpfs", target };
  if (flag(text, fields, "readonly")) made.readOnly = true;
  const [size, mode] = [fields.get("tmpfs-size"), fields.get("tmpfs-mode")];
  if (size !== undefined) made.size = size;
  if (mode !== undefined) {
    if (!/^[0-7]{1,4}$/.test(mode)) throw invalid("--mount", text, `tmpfs-mode "${mode}" is not an octal number`);
    made.mode = Number.parseInt(mode, 8);
  }
  return made;
}

/** `readonly`, `readonly=true`, `readonly=1`, … as Go reads a bool. */
function flag(text: string, fields: Fields, name: string): boolean {
  if (!fields.has(name)) return false;
  const value = fields.get(name) ?? "true";
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw invalid("--mount", text, `${name} is true or false`);
}

/** A line of comma-separated values: a field in quotes may have commas, and doubled quotes. @see RFC 4180 */
function csvFields(text: string): string[] {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (let more = true; more;) {
    const match = field.exec(text);
    if (!match) throw invalid("--mount", text, "a quote that is not closed, or inside a field");
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    more = match[3] === ",";
  }
  return fields;
}

/** `/dev/a`, `/dev/a:/dev/b`, `/dev/a:/dev/b:rwm`. */
export function device(text: string): DeviceOption {
  const [source = "", ...rest] = text.split(":");
  const access = rest.length > 0 && /^[rwm]+$/.test(rest.at(-1) as string) ? rest.pop() : undefined;
  const [target, ...more] = rest;
  if (!source.startsWith("/") || target === "" || more.length > 0)
    throw invalid("--device", text, "not understood", '"/dev/fuse" or "/dev/fuse:/dev/other"');
  const made: DeviceOption = target === undefined ? { source } : { source, target };
  // all of it needs no control group
  if (access !== undefined && !(access.includes("r") && access.includes("w"))) made.access = access;
  return made;
}
