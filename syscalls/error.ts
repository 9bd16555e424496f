/**
 * The one error class of the project: what was tried, which call said no, and what to do about it.
 * @module
 */

/** Why something failed; a closed set, so that callers can switch on it. */
export type ErrorCode =
  | "invalid_option" // an option is unknown, has the wrong type, is out of range or contradicts another
  | "rootfs_not_found" // the root filesystem is missing or is not a directory
  | "command_not_found" // the command does not exist inside the sandbox
  | "command_not_executable" // it exists but cannot be executed (mode, format, missing interpreter)
  | "command_failed" // a line of shell did not exit with 0
  | "argument_too_long" // arguments and environment exceed what execve(2) takes
  | "mount_failed" // a mount, its source or its target was refused
  | "user_not_found" // a user or group name is not known inside the root filesystem
  | "file_not_found" // a path leads nowhere inside the sandbox
  | "file_refused" // it leads to what is not read, written or followed: a device, a pipe, a magic link
  | "archive_refused" // an archive is malformed, or holds what is not unpacked
  | "limit_unavailable" // a limit was asked for that this machine cannot apply
  | "unsupported" // the kernel or the JavaScript runtime lacks a feature
  | "permission_denied" // the host forbids it (user namespaces, capabilities, ...)
  | "sandbox_closed" // the sandbox is gone
  | "sandbox_paused" // nothing runs in it until it is resumed
  | "engine_closed" // the engine has been disposed of
  | "container_not_found" // there is no container of this name
  | "container_exists" // there is one already
  | "container_state" // what was asked for cannot be done to it now: it runs, it has stopped, it is paused
  | "id_ambiguous" // the ids of several containers, images or networks begin so
  | "name_invalid" // no container may be called so
  | "name_in_use" // another container, or volume, has this name
  | "volume_not_found" // there is no volume of this name
  | "volume_in_use" // a container has it
  | "network_not_found" // there is no network of this name
  | "fetch_failed" // no server inside has answered, or what it said leads out of the sandbox
  | "network_in_use" // a container is in it, or everybody counts on it
  | "container_unreadable" // its state is cut short, of another version or not ours
  | "hook_failed" // a hook of the container's exited with an error, or took too long
  | "reference_invalid" // the name of an image is not one
  | "image_not_found" // neither here nor, where that was asked, in its registry
  | "image_in_use" // a sandbox is made of it, or it has other names
  | "image_invalid" // a manifest, config or layer that is malformed, or lies
  | "digest_mismatch" // bytes are not those that their digest says
  | "platform_not_found" // an image index has nothing for this platform
  | "download_failed" // a URL, or a git repository, that a build needs
  | "registry_denied" // the registry wants other credentials
  | "registry_error" // it answered what nobody can use, or not at all
  | "rate_limited" // it has answered too often already
  | "store_unavailable" // the store is read-only, full, damaged or of a newer version
  | "dockerfile_invalid" // an instruction, a flag, a stage that it names: the message begins with file:line:column
  | "build_failed" // a step of a build did not come to a good end
  | "aborted" // an AbortSignal fired
  | "system"; // any other failed system call

export interface ErrorDetails {
  code: ErrorCode;
  /** Positive errno of the failed call. */
  errno?: number;
  /** Name of the failed system call. */
  syscall?: string;
  path?: string;
  /** The step of the plan that failed, in words. */
  step?: string;
  /** The failed call with its arguments, as a printed plan shows it: `move_mount(mount3, "", target, "", …)`. */
  call?: string;
  /** What the reader can do about it. */
  hint?: string;
  cause?: unknown;
}

/** What there is to do about EMFILE. */
export const TOO_MANY_FILES = "this program has as many files open as it may: ulimit -n";

/** A value in a message, as it would be written in source; long ones cut. */
export function show(value: unknown): string {
  const text = typeof value === "string" || (typeof value === "object" && value !== null) ? json(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? Object.prototype.toString.call(value);
  } catch {
    return Object.prototype.toString.call(value); // circular, or with a BigInt in it
  }
}

/**
 * Every failure of the library. `message` starts with the action and quotes values:
 * `mount "proc" on "/proc": EPERM`.
 */
export class TsboxError extends Error {
  override readonly name: string = "TsboxError";
  readonly code: ErrorCode;
  // without the word, each would be there as undefined, and shown
  declare readonly errno?: number;
  declare readonly syscall?: string;
  declare readonly path?: string;
  declare readonly step?: string;
  declare readonly call?: string;
  declare readonly hint?: string;

  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.path !== undefined) this.path = details.path;
    if (details.step !== undefined) this.step = details.step;
    if (details.call !== undefined) this.call = details.call;
    if (details.hint !== undefined) this.hint = details.hint;
  }
}
