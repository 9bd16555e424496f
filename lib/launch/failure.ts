/** What goes wrong while a sandbox is started, as errors that name the step and the remedy. @module */
import {
  errnoName,
  readKernelFile,
  readReport,
  reportedCall,
  runtime,
  show,
  TOO_MANY_FILES,
  TsboxError,
  type ERRNO,
  type ErrorCode,
  type Plan,
} from "../../syscalls/index.ts";

/** The step that makes the namespaces. */
const FIRST_CLONE = "clone the sandbox's first process into its namespaces";

/** The failure that a process reported. */
export function failureOf(report: DataView, plan: Plan): TsboxError {
  const found = readReport(report, plan);
  if (!found)
    return new TsboxError("start the sandbox: it told a failure that is none of its plan", { code: "system" });
  const { step, errno, call } = found;
  if (step.action === FIRST_CLONE) return cloneError(errno);
  const name = errnoName(errno);
  const isExhausted = name === "EMFILE";
  const isGone = name === "ESRCH" && step.action.startsWith("join the sandbox");
  const code = isGone
    ? "sandbox_closed"
    : isExhausted
      ? "system"
      : (executeCode(step.action, name) ?? step.code ?? "system");
  const isRuntime = code === "command_not_found" && step.action === `execute ${show(runtime.name)}`;
  const executeHint = isRuntime ? 'it comes along with "runtime: true", --bun of tsbox run' : EXECUTE_HINTS[code];
  const isLimited = plan.slice(0, plan.indexOf(step)).some(({ action }) => action.startsWith("set RLIMIT_NOFILE "));
  const tooMany = isLimited ? TOO_FEW_INSIDE : TOO_MANY_FILES;
  const hint = isExhausted ? tooMany : (step.hint?.(name as keyof typeof ERRNO) ?? executeHint);
  return new TsboxError(`${step.action}: ${name}`, {
    code,
    errno,
    syscall: step.action.startsWith("clone ") ? "clone3" : call === "fail" ? "execve" : call,
    step: step.action,
    call: reportedCall(report, plan),
    ...(step.path === undefined ? {} : { path: step.path }),
    ...(hint === undefined ? {} : { hint }),
  });
}

/** The limit is that of the owner up to the step that sets the sandbox's own. */
const TOO_FEW_INSIDE = "RLIMIT_NOFILE of the sandbox itself leaves no room to start a command: ulimits.nofile";

function executeCode(action: string, errno: string): ErrorCode | undefined {
  if (!action.startsWith("execute ")) return undefined;
  if (errno === "ENOENT" || errno === "ENOTDIR") return "command_not_found";
  return errno === "E2BIG" ? "argument_too_long" : "command_not_executable";
}

const EXECUTE_HINTS: Partial<Record<ErrorCode, string>> = {
  command_not_found: "the command, or the interpreter or loader that it names, is not in the root filesystem",
  command_not_executable: "it has to be a file with execute permission, in a format that this machine runs",
  argument_too_long:
    "one argument may have 128 KiB, all of them and the environment a quarter of the stack limit; pass the data on stdin",
};

/** clone3(2) said no. */
function cloneError(errno: number): TsboxError {
  const name = errnoName(errno);
  const [code, hint] = explainClone(name);
  return new TsboxError(`make the sandbox's namespaces: ${name}`, {
    code,
    errno,
    syscall: "clone3",
    ...(hint ? { hint } : {}),
  });
}

function explainClone(errno: string): [code: ErrorCode, hint?: string] {
  switch (errno) {
    case "EPERM":
      return ["permission_denied", isOn("apparmor_restrict_unprivileged_userns") ? APPARMOR : NOT_ALLOWED];
    case "ENOSPC":
      return ["permission_denied", "the limit on namespaces is reached: sysctl user.max_user_namespaces"];
    case "ENOSYS":
      return ["unsupported", "clone3 exists since Linux 5.3"];
    case "EINVAL":
      return ["unsupported", "the kernel lacks one of the namespaces, or CLONE_CLEAR_SIGHAND (since Linux 5.5)"];
    case "EAGAIN":
      return ["system", "the limit on processes is reached: ulimit -u, or pids.max of the own control group"];
    default:
      return ["system"];
  }
}

const APPARMOR =
  "AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for this program";
const NOT_ALLOWED = "the host does not let this user make user namespaces: sysctl kernel.unprivileged_userns_clone=1";

const isOn = (sysctl: string): boolean => readKernelFile(`/proc/sys/kernel/${sysctl}`)?.trim() === "1";
