/**
 * Who is who in a user namespace: written by the owner, or, where the ids are subordinate ones of an ordinary user, by
 * the two setuid programs that may. No other program is ever run.
 * @module
 * @see user_namespaces(7), newuidmap(1), newgidmap(1)
 */
import { buffer, cstring, named, ref, stringArray } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { IdMapping, Spec } from "../spec/index.ts";
import type { Facts } from "./compile.ts";
import { childArguments, CLONE_ARGS_BYTES } from "./clone.ts";
import { flags } from "./constants.ts";

/** Paths of the programs. */
export interface IdMapper {
  newuidmap: string;
  newgidmap: string;
}

export const mapLines = (maps: IdMapping[] = []): string =>
  maps.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join("");

/** @param directory the slot of `/proc/PID` */
export function writeFile(directory: string, file: string, content: string): Op[] {
  const text = { data: new TextEncoder().encode(content), text: JSON.stringify(content) };
  return [
    { call: "openat", args: [ref(directory), cstring(file), named("O_WRONLY|O_CLOEXEC", 0o2000001), 0], out: "map" },
    { call: "write", args: [ref("map"), text, text.data.length] },
    { call: "close", args: [ref("map")] },
    // its number may be another descriptor's soon
    { call: "load", args: [buffer("none", 8), 4], out: "map" },
  ];
}

/** Opens `/proc/PID` of a process. @param pid the slot of its pid */
export function openProcess(pid: string, out: string): Op[] {
  const directory = buffer('"/proc/PID"', 32);
  directory.data.set(new TextEncoder().encode("/proc/"));
  return [
    { call: "print", args: [{ at: directory, offset: 6 }, ref(pid)] },
    { call: "openat", args: [flags("AT_FDCWD"), directory, flags("O_PATH", "O_CLOEXEC"), 0], out },
  ];
}

export function idMapStep(spec: Spec, { privileged }: Facts): Step {
  const ops = openProcess("first", "process");
  // an ordinary user may map its group only once setgroups(2) is given up
  if (!privileged) ops.push(...writeFile("process", "setgroups", "deny"));
  ops.push(...writeFile("process", "uid_map", mapLines(spec.linux.uidMappings)));
  ops.push(...writeFile("process", "gid_map", mapLines(spec.linux.gidMappings)));
  return {
    action: "write the id maps of the user namespace",
    ops,
    code: "permission_denied",
    hint: (errno) =>
      errno === "EPERM"
        ? "the ids are not this user's to map, or a security module restricts user namespaces (AppArmor: sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
        : undefined,
  };
}

/** Of the owner, whose thread stands still until the programs have ended: some milliseconds. */
export function helpedMapSteps({ linux: { uidMappings = [], gidMappings = [] } }: Spec, mapper: IdMapper): Plan {
  return [helpedMapStep("newuidmap", mapper, uidMappings), helpedMapStep("newgidmap", mapper, gidMappings)];
}

function helpedMapStep(program: keyof IdMapper, mapper: IdMapper, maps: IdMapping[]): Step {
  const status = buffer("wait status", 8);
  const clone = flags("CLONE_VM", "CLONE_VFORK", "CLONE_CLEAR_SIGHAND");
  const args = childArguments(clone, program);
  const pid = buffer("PID", 32);
  const [begin, ended, done] = [`run ${program}`, `${program} has ended`, `${program} has written`];
  return {
    action: `have ${mapper[program]} write an id map`,
    ops: [
      { call: "print", args: [pid, ref("first")] },
      { call: "spawn", args: [args, CLONE_ARGS_BYTES], label: begin, out: program },
      { call: "jump", args: [], label: ended },
      { call: "label", args: [], label: begin },
      // what it has to say of the options is nothing that the caller has written
      { call: "openat", args: [flags("AT_FDCWD"), cstring("/dev/null"), flags("O_RDWR", "O_CLOEXEC"), 0], out: "null" },
      ...[0, 1, 2].map((fd): Op => ({ call: "dup3", args: [ref("null"), fd, 0] })),
      { call: "execve", args: [cstring(mapper[program]), argumentsOf(program, pid, maps), stringArray([])] },
      { call: "label", args: [], label: ended },
      { call: "wait4", args: [ref(program), status, 0, 0] },
      { call: "load", args: [status, 4], out: "status" },
      { call: "jumpIf", args: [ref("status"), 0, named("==", 0)], label: done },
      { call: "fail", args: [named("EPERM", 1)] },
      { call: "label", args: [], label: done },
    ],
    code: "permission_denied",
    path: mapper[program],
    hint: () => "the ids have to be this user's own, or in its ranges of /etc/subuid and /etc/subgid",
  };
}

function argumentsOf(program: string, pid: Data, maps: IdMapping[]): Data {
  const numbers = maps.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size]).map(String);
  const argv = stringArray([program, "PID", ...numbers]);
  argv.pointers = argv.pointers?.map((pointer, index) => (index === 1 ? { ...pointer, to: pid } : pointer)) ?? [];
  return argv;
}
