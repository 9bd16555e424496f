/**
 * The last call: the command is executed.
 * @module
 * @see execve(2), environ(7)
 */
import { cstring, named, ref, stringArray, structure, words } from "../../syscalls/index.ts";
import type { Data, Op, Ref, Step } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import { flags } from "./constants.ts";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const [EACCES, ENOENT, ENOTDIR] = [13, 2, 20];

function argvData({ process: { args } }: Spec): Data {
  return { ...stringArray(args), text: JSON.stringify(args) };
}

/** Where a command without a slash may be. */
function candidates(command: string, env: string[]): string[] {
  if (command === "") return [];
  const path = env.find((v) => v.startsWith("PATH="))?.slice(5) ?? DEFAULT_PATH;
  return path.split(":").map((directory) => `${directory || "."}/${command}`);
}

/**
 * Tries each directory of PATH, as execvp(3) does; a name with a slash is taken as it is.
 * @param argv the arguments, where they are bound rather than those of the specification
 * @param plain nothing but execve(2): a filter may allow no other call
 */
export function executeStep(spec: Spec, argv: Data | Ref = argvData(spec), plain = false): Step {
  const { args, env } = spec.process;
  const command = args[0] ?? "";
  const envp = stringArray(env);
  envp.text = `[${env.length} variables]`;
  // no magic link of /proc: its exe is still the owner's program (CVE-2019-5736)
  const how = structure("{O_PATH|O_CLOEXEC, RESOLVE_NO_MAGICLINKS}", "open_how", { flags: 0o12000000, resolve: 0x02 });
  const open = (file: string): Op => ({
    call: "openat2",
    args: [flags("AT_FDCWD"), cstring(file), how, 24],
    out: "file",
  });
  const look = (file: string, onError?: Op["onError"]): Op[] =>
    plain
      ? []
      : [
          { ...open(file), ...(onError && { onError }) },
          { call: "close", args: [ref("file")] },
        ];
  const execute = (file: string): Op => ({ call: "execve", args: [cstring(file), argv, envp], out: "file" });
  const step: Step = { action: `execute "${command}"`, ops: [], code: "command_not_executable", path: command };
  if (command.includes("/")) {
    step.ops.push(...look(command), execute(command));
    return step;
  }
  candidates(command, env).forEach((file, index) => {
    const onError = { jump: `failed ${index}` };
    step.ops.push(...look(file, onError), { ...execute(file), onError });
    step.ops.push({ call: "label", args: [], label: `failed ${index}` });
    for (const errno of [ENOENT, ENOTDIR, EACCES]) {
      step.ops.push({ call: "jumpIf", args: [ref("file"), -errno, named("==", 0)], label: `next ${index}` });
    }
    // once more, to fail with its own errno
    step.ops.push(...look(file), execute(file), { call: "label", args: [], label: `next ${index}` });
  });
  step.ops.push({ call: "fail", args: [named("ENOENT", ENOENT)] });
  return step;
}

const X_OK = 1;
const AT_EACCESS = named("AT_EACCESS", 0x200);

/** That there is such a command is found out before anybody waits for it. */
export function findStep({ process: { args, env } }: Spec): Step {
  const command = args[0] ?? "";
  const here = flags("AT_FDCWD");
  const files = command.includes("/") ? [command] : candidates(command, env);
  const check = (file: string, index: number): Op[] => [
    {
      call: "faccessat2",
      args: [here, cstring(file), X_OK, AT_EACCESS],
      out: "found",
      onError: { jump: `not ${index}` },
    },
    // a directory can be "executed" as well
    {
      call: "faccessat2",
      args: [here, cstring(`${file}/.`), 0, 0],
      out: "directory",
      onError: { jump: "the command is there" },
    },
    { call: "load", args: [words("EACCES", -EACCES), 8], out: "found" },
    { call: "label", args: [], label: `not ${index}` },
  ];
  return {
    action: `execute "${command}"`,
    ops: [
      ...files.flatMap(check),
      { call: "fail", args: [files.length > 0 ? ref("found") : named("ENOENT", ENOENT)] },
      { call: "label", args: [], label: "the command is there" },
    ],
    path: command,
  };
}
