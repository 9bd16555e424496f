/** How an engine learns which process it is: a file with its number, or a pidfd over a socket. @module */
import * as sys from "../../syscalls/index.ts";
import { Descriptors } from "../../syscalls/index.ts";

export function sendPidfd(file: string, pid: number): void {
  using opened = new Descriptors();
  const pidfd = opened.add(sys.openPidfd(pid));
  const socket = opened.add(sys.connectSocket(file));
  const sent = sys.sendDescriptor(socket, new TextEncoder().encode("pidfd"), pidfd);
  if (sent < 0) throw sys.systemError(`send a pidfd to ${JSON.stringify(file)}`, "sendmsg", -sent);
}

/** Whole, or not at all: an engine may be waiting for it. Where others may write too, it is no symlink of theirs. */
export function writePidFile(file: string, pid: number): void {
  const { renameSync, rmSync, writeFileSync } = process.getBuiltinModule("node:fs");
  const [directory, name] = [file.slice(0, file.lastIndexOf("/") + 1), file.slice(file.lastIndexOf("/") + 1)];
  const unfinished = `${directory}.${name}`;
  rmSync(unfinished, { force: true });
  writeFileSync(unfinished, String(pid), { mode: 0o666, flag: "wx" });
  renameSync(unfinished, file);
}
