/**
 * Mounts in the words of command lines: `-v`, `--mount` and `--tmpfs`, as Docker and podman have them.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/container/run/#volume,
 *   https://docs.podman.io/en/latest/markdown/podman-run.1.html#mount-type-type-type-specific-option
 */
import { absolute, TsboxError } from "../../syscalls/index.ts";
import type { ContainerMount, FileChanges, ImageMount, VolumeMount } from "./mount.ts";
import type { BindMount, MountOption, Propagation } from "../sandbox/index.ts";
import { csvFields } from "../schema/index.ts";
import { idMapsOf } from "./id-words.ts";
import { nameProblem } from "./names.ts";

/** Makes the error for words that were not understood. */
export type Refusal = (why: string, hint?: string) => TsboxError;

const refusalOf =
  (text: string): Refusal =>
  (why, hint) =>
    new TsboxError(`mount ${JSON.stringify(text)}: ${why}`, { code: "invalid_option", ...(hint ? { hint } : {}) });

const VOLUME_HINT = '"/source:/target", "./source:/target", "name:/target" or "/target", and ":ro" for read-only';
const PROPAGATION: readonly string[] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];

/** Of Docker's virtual machine on a Mac: on Linux, files are what they are, so that all of them are as "consistent" says. */
const CONSISTENCY: readonly string[] = ["consistent", "cached", "delegated"];

export type TmpfsMount = Extract<MountOption, { type: "tmpfs" }>;
type FileMount = (BindMount & FileChanges) | VolumeMount;

/** Docker's rule: it is no other directory than the root itself, and never relative. */
function checkTarget(target: string, refuse: Refusal): string {
  if (!target.startsWith("/")) throw refuse(`invalid mount path: '${target}' mount path must be absolute`);
  const path = absolute(target, "/");
  if (path === "/") throw refuse("invalid specification: destination can't be '/'");
  return path;
}

/** @param cwd what relative sources begin at @throws TsboxError `invalid_option` */
export function parseVolume(text: string, cwd: string | undefined, refuse: Refusal = refusalOf(text)): ContainerMount {
  if (text === "") throw refuse("invalid empty volume spec", VOLUME_HINT);
  const parts = text.split(":");
  if (parts.length > 3 || parts.includes("")) throw refuse("invalid volume specification", VOLUME_HINT);
  if (parts.length === 1) return { type: "volume", target: checkTarget(text, refuse) };
  const [source = "", given = "", mode] = parts;
  if (source.startsWith("~")) throw refuse("~ is the shell's, and only at the start of a word", 'write "$HOME/..."');
  const target = checkTarget(given, refuse);
  let made: FileMount;
  if (/^[./]/.test(source))
    made = { type: "bind", source: absolute(source, cwd), target, readOnly: false, create: true };
  else {
    const problem = nameProblem(source);
    if (problem !== undefined) throw refuse(problem, `for a directory: "./${source}:${target}"`);
    made = { type: "volume", source, target };
  }
  if (mode !== undefined) applyMode(made, mode.split(","), refuse);
  return made;
}

function applyMode(made: FileMount, words: string[], refuse: Refusal): void {
  // of those that exclude each other, there is one
  const groups = [["ro", "rw", "rro"], PROPAGATION, ["z", "Z"], ["exec", "noexec"], ["copy", "nocopy"], CONSISTENCY];
  for (const group of groups) {
    const found = words.filter((word) => group.includes(word));
    if (found.length > 1)
      throw refuse(found.includes("ro") && found.includes("rw") ? "both ro and rw" : `both ${found.join(" and ")}`);
  }
  for (const word of words) if (!applyWord(made, word, refuse)) throw refuse(`invalid mode: ${word}`, MODES);
}

const MODES = `ro, rro, rw, z, Z, U, idmap, noexec, nocopy, ${PROPAGATION.join(", ")}`;

function applyWord(made: FileMount, word: string, refuse: Refusal): boolean {
  const isBind = made.type === "bind";
  if (word === "ro" || word === "rro") made.readOnly = true;
  else if (word === "z" || word === "Z") made.relabel = word === "z" ? "shared" : "private";
  else if (word === "U") made.chown = true;
  else if (word === "noexec") made.noExec = true;
  else if (word === "idmap" || word.startsWith("idmap=")) Object.assign(made, idMapsOf(word.slice(6), refuse));
  else if (word === "nocopy" && !isBind) made.noCopy = true;
  else if (word === "copy" && !isBind) made.noCopy = false;
  else if (isBind && PROPAGATION.includes(word)) made.propagation = word as Propagation;
  else if (isBind && word === "bind") made.recursive = false;
  else return ["rw", "exec", "nosuid", "nodev", ...CONSISTENCY].includes(word) || (isBind && word === "rbind");
  return true;
}

export function parseTmpfs(text: string, refuse: Refusal = refusalOf(text)): TmpfsMount {
  const [, target = "", words] = /^([^:]*)(?::([^]*))?$/.exec(text) ?? [];
  const made: TmpfsMount = { type: "tmpfs", target };
  for (const word of words === undefined ? [] : words.split(",")) {
    const [, name, value] = /^([^=]*)(?:=([^]*))?$/.exec(word) ?? [];
    if (word === "ro") made.readOnly = true;
    else if (word === "noexec") made.noExec = true;
    else if (name === "size" && value) made.size = value;
    else if ((name === "uid" || name === "gid") && /^\d{1,10}$/.test(value ?? "")) made[name] = Number(value);
    else if (name === "mode" && value && /^[0-7]{3,4}$/.test(value)) made.mode = Number.parseInt(value, 8);
    else if (!TMPFS_USUAL.has(word))
      throw refuse(`unknown option "${word}"`, "size=64m, mode=1777, uid=0, gid=0, ro, noexec; always nosuid, nodev");
  }
  return made;
}
/** What it is like without a word. */
const TMPFS_USUAL = new Set(["rw", "exec", "nosuid", "nodev", "defaults"]);

/** Names that mean the same. */
const ALIASES: Record<string, string> = {
  src: "source",
  from: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
  "volume-nocopy": "nocopy",
  "volume-subpath": "subpath",
  "image-subpath": "subpath",
  u: "U",
  chown: "U",
  propagation: "bind-propagation",
};
const FILE_KEYS = ["consistency", "readonly", "noexec", "idmap", "U", "relabel", "z", "Z"];
const KEYS: Record<string, readonly string[]> = {
  bind: [
    "type",
    "source",
    "target",
    "bind-propagation",
    "bind-recursive",
    "bind-create-src",
    "bind-nonrecursive",
  ].concat(FILE_KEYS),
  volume: ["type", "source", "target", "nocopy", "subpath", "volume-driver", "volume-opt", "volume-label"].concat(
    FILE_KEYS,
  ),
  tmpfs: ["type", "target", "consistency", "readonly", "noexec", "tmpfs-size", "tmpfs-mode"],
  image: ["type", "source", "target", "readonly", "subpath"],
};
/** They may come more than once. */
const LISTS = ["volume-opt", "volume-label"];

/** The fields of one `--mount`. */
class Fields {
  readonly #values = new Map<string, (string | undefined)[]>();
  readonly refuse: Refusal;

  constructor(text: string, refuse: Refusal) {
    this.refuse = refuse;
    const read = csvFields(text);
    if (!read) throw refuse("a quote that is not closed, or inside a field");
    for (const field of read) {
      const [, word = "", value] = /^([^=]*)(?:=([^]*))?$/.exec(field) ?? [];
      const name = ALIASES[word] ?? word;
      const before = this.#values.get(name);
      if (before && !LISTS.includes(name)) throw refuse(`"${word}" twice`);
      this.#values.set(name, [...(before ?? []), value]);
    }
  }

  get names(): string[] {
    return [...this.#values.keys()];
  }

  get(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  required(name: string): string {
    const value = this.get(name);
    if (!value) throw this.refuse(`no ${name}`);
    return value;
  }

  /** `readonly`, `readonly=true`, `readonly=1`, … as Go reads a bool. */
  flag(name: string): boolean {
    if (!this.has(name)) return false;
    const value = this.get(name) ?? "true";
    if (/^(1|t|true)$/i.test(value)) return true;
    if (/^(0|f|false)$/i.test(value)) return false;
    throw this.refuse(`${name} is true or false`);
  }

  /** `volume-opt=type=nfs,volume-opt=o=addr=…` */
  pairs(name: string): Record<string, string> | undefined {
    const found = this.#values.get(name);
    if (!found) return undefined;
    return Object.fromEntries(
      found.map((pair = "") => {
        const equals = pair.indexOf("=");
        return equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
      }),
    );
  }
}

/** @param cwd what relative sources begin at @throws TsboxError `invalid_option` */
export function parseMount(text: string, cwd: string | undefined, refuse: Refusal = refusalOf(text)): ContainerMount {
  const fields = new Fields(text, refuse);
  const type = fields.get("type") ?? "volume";
  const keys = Object.hasOwn(KEYS, type) ? KEYS[type] : undefined;
  if (!keys) throw refuse(`the type "${type}" is not supported`, "type=bind, volume, tmpfs or image");
  const unknown = fields.names.find((name) => !keys.includes(name));
  if (unknown !== undefined) throw refuse(`unknown option "${unknown}" of type=${type}`, keys.join(", "));
  const consistency = fields.get("consistency") ?? "default";
  if (![...CONSISTENCY, "default"].includes(consistency))
    throw refuse(`unknown consistency "${consistency}"`, CONSISTENCY.join(", "));
  if (type === "tmpfs") return tmpfsMount(fields);
  if (type === "bind") return bindMount(fields, absolute(fields.required("source"), cwd));
  if (type === "image") return imageMount(fields);
  return volumeMount(fields);
}

function bindMount(fields: Fields, source: string): BindMount & FileChanges {
  const { refuse } = fields;
  const target = fields.required("target");
  const made: BindMount = { type: "bind", source, target, ...fileOptions(fields), readOnly: fields.flag("readonly") };
  if (fields.flag("bind-create-src")) made.create = true;
  const propagation = fields.get("bind-propagation");
  if (propagation !== undefined) {
    if (!PROPAGATION.includes(propagation))
      throw refuse(`unknown bind-propagation "${propagation}"`, PROPAGATION.join(", "));
    made.propagation = propagation as Propagation;
  }
  const recursive = fields.get("bind-recursive") ?? (fields.flag("bind-nonrecursive") ? "disabled" : "enabled");
  if (recursive === "disabled") made.recursive = false;
  else if (recursive === "writable") made.recursive = "writable";
  // what is read-only is so all the way down, or it is an error
  else if (recursive === "readonly" && !made.readOnly) throw refuse("bind-recursive=readonly without readonly");
  else if (recursive !== "enabled" && recursive !== "readonly")
    throw refuse(`unknown bind-recursive "${recursive}"`, "enabled, disabled, writable, readonly");
  return made;
}

function fileOptions(fields: Fields): FileChanges & Pick<BindMount, "noExec" | "uidMappings" | "gidMappings"> {
  const made: ReturnType<typeof fileOptions> = {};
  if (fields.flag("noexec")) made.noExec = true;
  if (fields.flag("U")) made.chown = true;
  const relabel = fields.get("relabel") ?? (fields.flag("z") ? "shared" : fields.flag("Z") ? "private" : undefined);
  if (relabel !== undefined) {
    if (relabel !== "shared" && relabel !== "private")
      throw fields.refuse(`unknown relabel "${relabel}"`, "shared, private");
    made.relabel = relabel;
  }
  if (fields.has("idmap")) Object.assign(made, idMapsOf(fields.get("idmap") ?? "", fields.refuse));
  return made;
}

function volumeMount(fields: Fields): VolumeMount {
  const { refuse } = fields;
  const source = fields.get("source");
  const problem = source ? nameProblem(source) : undefined;
  if (problem !== undefined) throw refuse(problem, "type=bind mounts a directory of the host");
  const [subpath, driver] = [fields.get("subpath"), fields.get("volume-driver")];
  const [driverOptions, labels] = [fields.pairs("volume-opt"), fields.pairs("volume-label")];
  return {
    type: "volume",
    ...(source ? { source } : {}),
    target: checkTarget(fields.required("target"), refuse),
    ...fileOptions(fields),
    ...(fields.flag("readonly") ? { readOnly: true } : {}),
    ...(fields.flag("nocopy") ? { noCopy: true } : {}),
    ...(subpath === undefined ? {} : { subpath }),
    ...(driver ? { driver } : {}),
    ...(driverOptions ? { driverOptions } : {}),
    ...(labels ? { labels } : {}),
  };
}

function imageMount(fields: Fields): ImageMount {
  const { refuse } = fields;
  if (fields.has("readonly") && !fields.flag("readonly")) throw refuse("an image cannot be written");
  const subpath = fields.get("subpath");
  return {
    type: "image",
    source: fields.required("source"),
    target: checkTarget(fields.required("target"), refuse),
    ...(subpath === undefined ? {} : { subpath }),
  };
}

function tmpfsMount(fields: Fields): TmpfsMount {
  const made: TmpfsMount = { type: "tmpfs", target: fields.required("target") };
  if (fields.flag("readonly")) made.readOnly = true;
  if (fields.flag("noexec")) made.noExec = true;
  const [size, mode] = [fields.get("tmpfs-size"), fields.get("tmpfs-mode")];
  if (size !== undefined) made.size = size;
  if (mode !== undefined) {
    if (!/^[0-7]{1,4}$/.test(mode)) throw fields.refuse(`tmpfs-mode "${mode}" is not an octal number`);
    made.mode = Number.parseInt(mode, 8);
  }
  return made;
}
