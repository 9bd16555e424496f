/**
 * Landlock, a further layer below mounts and modes: what it does not allow stays so, whatever is mounted or wherever a
 * descriptor leads.
 * @module
 * @see landlock(7), linux/landlock.h
 */
import { cstring, named, offsetOf, ref, structure, words } from "../../syscalls/index.ts";
import type { Data, Named, Op, Plan, Step } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import { flags } from "./constants.ts";

/** `LANDLOCK_ACCESS_FS_*` */
const [EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV] = [1, 2, 4, 8, 1 << 14, 1 << 15];
/** The first bit that an ABI does not know. Before the second there is no way to allow renaming. */
const END_BIT: Record<number, number> = { 2: 14, 3: 15, 4: 15 };
const NEWEST_END_BIT = 16;
/** `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL`, since the sixth. */
const [SCOPES, SCOPES_SINCE] = [3, 6];
/** `struct landlock_ruleset_attr` had one field, then two, then three. */
const attributeBytes = (abi: number) => (abi >= SCOPES_SINCE ? 24 : abi >= 4 ? 16 : 8);

/**
 * Restricts the process to reading and executing what is below its root, and to writing where it may.
 * @param alone nobody else of the sandbox has rules of their own: it can be kept from signalling processes that have
 * not, and from their abstract sockets
 */
export function landlockSteps({ linux: { landlock } }: Spec, alone: boolean): Plan {
  if (!landlock) return [];
  const { abi, writable, writableFiles } = landlock;
  const all = 2 ** (END_BIT[abi] ?? NEWEST_END_BIT) - 1;
  const ofFiles = all & (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV);
  const scopes = alone && abi >= SCOPES_SINCE ? SCOPES : 0;
  const attr = words(`{handled_access_fs=0x${all.toString(16)}, scoped=${scopes}}`, all, 0, scopes);
  const everything = named("all", all);
  const step: Step = {
    action: "restrict access to files with Landlock",
    ops: [
      { call: "landlock_create_ruleset", args: [attr, attributeBytes(abi), 0], out: "ruleset" },
      ...(writable.includes("/")
        ? []
        : allow("/", named("EXECUTE|READ_FILE|READ_DIR", EXECUTE | READ_FILE | READ_DIR))),
      ...writable.flatMap((path) => allow(path, everything)),
      ...writableFiles.flatMap((path) => allow(path, named("all of a file", ofFiles))),
      { call: "landlock_restrict_self", args: [ref("ruleset"), 0] },
      { call: "close", args: [ref("ruleset")] },
    ],
    code: "unsupported",
    hint: () => 'without this layer: security.landlock "none"',
  };
  return [step];
}

const EMFILE = 24;

/** What cannot be reached needs no rule. */
function allow(path: string, access: Named): Op[] {
  const rule: Data = structure(`{${access.text}, ${JSON.stringify(path)}}`, "landlock_path_beneath_attr", {
    allowed_access: access.value,
  });
  const [next, passed] = [`no rule for ${path}`, `passed ${path}`];
  const how = structure("{O_PATH|O_CLOEXEC, RESOLVE_NO_MAGICLINKS}", "open_how", { flags: 0o12000000, resolve: 0x02 });
  return [
    { call: "openat2", args: [flags("AT_FDCWD"), cstring(path), how, 24], out: "beneath", onError: { jump: next } },
    {
      call: "store",
      args: [{ at: rule, offset: offsetOf("landlock_path_beneath_attr", "parent_fd") }, ref("beneath"), 4],
    },
    { call: "landlock_add_rule", args: [ref("ruleset"), named("LANDLOCK_RULE_PATH_BENEATH", 1), rule, 0] },
    { call: "close", args: [ref("beneath")] },
    { call: "label", args: [], label: next },
    { call: "jumpIf", args: [ref("beneath"), -EMFILE, named("!=", 1)], label: passed },
    { call: "fail", args: [ref("beneath")] },
    { call: "label", args: [], label: passed },
  ];
}
